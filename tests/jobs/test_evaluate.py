"""The evaluation job as a user runs it."""

import csv
import hashlib
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from pipelines.tracking.registry import set_alias
from rssr.card import ModelCard
from rssr.degradation import degradation_preset, degrade
from rssr.images import decode_image, encode_png
from rssr.inference import super_resolve
from rssr.metrics import psnr_y
from tests.jobs.running import (
    TIMEOUT_S,
    Finished,
    environment,
    job_command,
    mlflow_metrics,
    mlflow_runs,
    paragraph,
    run_job_here,
    with_store,
)
from tests.pipelines.evaluation.small import picture, save_sampler, save_student, write_images
from tests.pipelines.registries import Registry
from tests.rssr.metrics.published_weights import write_weights

TIMES = ("seconds", "seconds_with_io")


@dataclass(frozen=True)
class Evaluated:
    """An evaluation that has ended."""

    folder: Path
    finished: Finished

    @property
    def rows(self) -> list[dict[str, Any]]:
        [path] = self.folder.glob("evaluations/*/rows.parquet")
        return pq.read_table(path).to_pylist()

    @property
    def failures(self) -> list[dict[str, str]]:
        [path] = self.folder.glob("evaluations/*/failures.csv")
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    @property
    def parts(self) -> dict[str, int]:
        """When each part was written."""
        return {path.name: path.stat().st_mtime_ns for path in self.folder.glob("evaluations/parts/*/*.parquet")}


def evaluate(folder: Path, *overrides: str, **config: Any) -> Evaluated:
    """Run the job with a preset of these values."""
    return Evaluated(folder, run_job_here(*overrides, preset=preset_of(folder, **config), job="evaluate"))


def preset_of(folder: Path, **config: Any) -> Path:
    if not (folder / "mlflow.db").exists():
        with_store(folder)
    usual = {
        "output": {"uri": str(folder)},
        "degradation": "bicubic",
        "metrics": {"names": ["psnr_y", "ssim_y"], "trust": False},
        "find_near_duplicates": False,
        "mlflow": {"system_metrics": False},
        "num_shown": 1,
    }
    path = folder / "preset.yaml"
    path.write_text(yaml.safe_dump({**usual, **config}), encoding="utf-8")
    return path


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


@pytest.fixture(scope="module")
def trouble(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Six images, of which one is broken and one small; a model, a sampler and a folder with half of the SR images."""
    folder = tmp_path_factory.mktemp("trouble")
    hr, sr = write_images(folder / "hr", 6), folder / "theirs"
    (hr / "class0/broken.png").write_bytes(b"no picture")
    (hr / "class1/small.png").write_bytes(encode_png(picture(9, 18, 18)))
    sr.mkdir()
    for number in (0, 1, 2):
        (sr / f"image_0{number}.png").write_bytes(encode_png(picture(number)))
    (sr / "image_03.png").write_bytes(encode_png(picture(3, 60, 64)))
    (sr / "image_04.png").write_bytes(b"no picture")
    (sr / "stray.png").write_bytes(encode_png(picture(8)))
    models = [save_student(folder / "student"), save_sampler(folder / "sampler")]
    theirs = {"name": "theirs", "images": str(sr)}
    return {"datasets": [str(hr)], "methods": ["bicubic", "nearest", *map(str, models), theirs]}


@pytest.fixture(scope="module")
def troubled(trouble: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """The evaluation of it, in this process."""
    metrics = {"names": ["psnr_y", "lpips"], "weights": "/nowhere"}
    return evaluate(tmp_path_factory.mktemp("troubled"), "worker.images_per_part=4", metrics=metrics, **trouble)


def test_what_cannot_be_measured_is_named_and_counted_and_the_rest_is_measured(troubled: Evaluated) -> None:
    assert troubled.finished.status == 3, troubled.finished.err
    failures = {(item["key"], item["scale"], item["method"]): item["reason"] for item in troubled.failures}
    assert set(failures) == {
        ("class0/broken.png", "", ""),
        ("class1/small.png", "4.0", ""),
        ("class0/image_04.png", "4.0", "theirs"),
        ("class1/image_03.png", "4.0", "theirs"),
        ("class1/image_05.png", "4.0", "theirs"),
    }
    assert "too small to be measured: 18 x 18" in failures["class1/small.png", "4.0", ""]
    assert "60 x 64 pixels instead of 64 x 64" in failures["class1/image_03.png", "4.0", "theirs"]
    assert "no file of its name" in failures["class1/image_05.png", "4.0", "theirs"]
    counts = {name: [row["method"] for row in troubled.rows].count(name) for name in troubled_methods()}
    assert counts == {"bicubic": 6, "nearest": 6, "student": 6, "sampler": 6, "theirs": 3}
    assert "stray.png" in troubled.finished.out
    assert "LPIPS is missing" in troubled.finished.out
    assert "fetch_weights" in troubled.finished.out
    assert "lpips" not in troubled.rows[0]


def troubled_methods() -> tuple[str, ...]:
    return ("bicubic", "nearest", "student", "sampler", "theirs")


def test_rows_are_what_the_methods_make(troubled: Evaluated, trouble: dict[str, Any]) -> None:
    hr = decode_image((Path(trouble["datasets"][0]) / "class0/image_02.png").read_bytes(), "").pixels
    lr = degrade(hr, 4.0, degradation_preset("bicubic"), 0)
    found = {row["method"]: row for row in troubled.rows if row["key"] == "class0/image_02.png"}
    expected = np.moveaxis(super_resolve(np.moveaxis(lr, -1, 0), "bicubic", 4.0), 0, -1)
    assert found["bicubic"]["psnr_y"] == psnr_y(expected, hr, border=4)
    assert found["theirs"]["psnr_y"] == float("inf")
    assert found["theirs"]["seconds"] != found["theirs"]["seconds"]  # nothing was run
    for name in ("bicubic", "student", "sampler"):
        assert 0 < found[name]["seconds"] < found[name]["seconds_with_io"]
    order = [(row["key"], row["method"]) for row in troubled.rows]
    keys = list(dict.fromkeys(key for key, _ in order))
    assert keys == sorted(keys)
    assert order == sorted(order, key=lambda item: (keys.index(item[0]), troubled_methods().index(item[1])))


def test_everything_lies_in_the_run_and_in_the_output(troubled: Evaluated) -> None:
    assert mlflow_runs(troubled.folder / "mlflow.db") == [("evaluate", "FINISHED")]
    metrics = mlflow_metrics(troubled.folder / "mlflow.db")
    assert {"evaluation/hr/x4/student/psnr_y", "evaluation/hr/x4/sampler/lr_error"} <= metrics
    with sqlite3.connect(troubled.folder / "mlflow.db") as connection:
        inputs = connection.execute("SELECT name, digest FROM datasets").fetchall()
        params = dict(connection.execute("SELECT key, value FROM params").fetchall())
    [(name, digest)] = inputs
    assert name == "hr"
    assert params["metrics.weights"] == "/nowhere"
    [manifest] = troubled.folder.glob("evaluations/manifests/hr-*/manifest.json")
    assert yaml.safe_load(manifest.read_text())["digest"].startswith(digest)
    artifacts = {path.name for path in troubled.folder.glob("mlflow-artifacts/*/artifacts/*")}
    assert artifacts == {"config.yaml", "failures.csv", "report.html", "rows.parquet"}
    [report] = troubled.folder.glob("evaluations/*/report.html")
    assert "class0/broken.png" in report.read_text(encoding="utf-8")
    assert str(report) in troubled.finished.out


def test_workers_find_the_same_rows_and_failures(
    troubled: Evaluated, trouble: dict[str, Any], tmp_path: Path, ray_cluster: str
) -> None:
    assert ray_cluster
    metrics = {"names": ["psnr_y", "lpips"], "weights": "/nowhere"}
    workers = ("num_workers=2", "worker.images_per_part=1")
    there = evaluate(tmp_path, *workers, metrics=metrics, **trouble)
    assert there.finished.status == 3, there.finished.err
    assert without_times(there.rows) == without_times(troubled.rows)
    assert there.failures == troubled.failures


def test_a_killed_evaluation_goes_on_where_it_was(tmp_path: Path) -> None:
    datasets = [str(write_images(tmp_path / "hr", 24, (160, 160)))]
    values = {"datasets": datasets, "methods": ["bicubic", "nearest"], "num_shown": 0}
    arguments = ("worker.images_per_part=1",)
    preset = preset_of(tmp_path / "killed", **values)
    job = job_command(*arguments, preset=preset, job="evaluate")
    with subprocess.Popen(
        job, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment(), text=True
    ) as running:
        try:
            for _ in waiting(running):
                if len(Evaluated(tmp_path / "killed", Finished(0, "", "")).parts) >= 3:
                    break
        finally:
            running.send_signal(signal.SIGKILL)
    before = Evaluated(tmp_path / "killed", Finished(0, "", "")).parts
    assert 3 <= len(before) < 24
    resumed = evaluate(tmp_path / "killed", *arguments, **values)
    assert resumed.finished.status == 0, resumed.finished.err
    assert f"{len(before)} of 24 parts are there already" in resumed.finished.err
    assert {name: resumed.parts[name] for name in before} == before
    undisturbed = evaluate(tmp_path / "undisturbed", "worker.images_per_part=7", **values)
    assert without_times(resumed.rows) == without_times(undisturbed.rows)
    assert mlflow_runs(tmp_path / "killed" / "mlflow.db") == [("evaluate", "FINISHED")]


def waiting(running: "subprocess.Popen[str]") -> Iterator[None]:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline and running.poll() is None:
        yield
        time.sleep(0.005)
    assert running.poll() is None, running.stderr.read() if running.stderr else ""


def test_fresh_measures_everything_again(tmp_path: Path) -> None:
    values = {"datasets": [str(write_images(tmp_path / "hr", 2))], "num_shown": 0}
    first = evaluate(tmp_path / "out", **values)
    before = first.parts
    assert evaluate(tmp_path / "out", **values).parts == before
    after = evaluate(tmp_path / "out", "fresh=true", **values).parts
    assert after.keys() == before.keys()
    assert after != before
    assert len(mlflow_runs(tmp_path / "out" / "mlflow.db")) == 2


def test_pairs_and_lr_images_alone_are_measured_by_what_they_have(tmp_path: Path) -> None:
    pairs = {
        "name": "pairs",
        "uri": str(write_images(tmp_path / "hr", 2)),
        "lr_uri": str(write_images(tmp_path / "lr", 2, (16, 16))),
    }
    alone = {"name": "alone", "uri": str(tmp_path / "lr"), "has_hr": False}
    metrics = {"names": ["psnr_y"], "trust": True}
    found = evaluate(tmp_path / "out", datasets=[pairs, alone], methods=["nearest", "bicubic"], metrics=metrics)
    assert found.finished.status == 0, found.finished.err
    values = {(row["dataset"], name) for row in found.rows for name, value in row.items() if value is not None}
    assert ("pairs", "psnr_y") in values
    assert ("pairs", "hallucination") in values
    assert ("alone", "lr_error") in values
    assert not {("alone", "psnr_y"), ("alone", "hallucination")} & values
    lr_errors = [row["lr_error"] for row in found.rows if row["dataset"] == "alone" and row["method"] == "nearest"]
    assert max(lr_errors) < 2.0  # nearest keeps to its LR image, not to that of HR


def test_a_manifest_brings_the_same_images_back(tmp_path: Path) -> None:
    hr = write_images(tmp_path / "hr", 5)
    dataset = {"name": "set", "uri": str(hr), "num_images": 2}
    first = evaluate(tmp_path / "first", datasets=[dataset], num_shown=0)
    [manifest] = (tmp_path / "first").glob("evaluations/manifests/set-*")
    write_images(hr, 6)
    again = evaluate(tmp_path / "again", datasets=[{"name": "set", "manifest": str(manifest)}], num_shown=0)
    assert without_times(again.rows) == without_times(first.rows)
    (hr / first.rows[0]["key"]).write_bytes(encode_png(picture(50)))
    refused = evaluate(tmp_path / "refused", datasets=[{"name": "set", "manifest": str(manifest)}])
    assert f"{first.rows[0]['key']} has changed" in paragraph(refused.finished)


def test_a_candidate_that_is_no_better_is_refused_and_a_first_one_is_champion(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "out")
    first, second = registry.register("one"), registry.register("two")
    set_alias(registry.uri, second, "candidate")
    values = {
        "datasets": [str(write_images(tmp_path / "hr", 3))],
        "methods": ["nearest", f"models:/{registry.name}@candidate"],
        "promotion": {"model": registry.name},
        "num_shown": 0,
    }
    begun = evaluate(tmp_path / "out", "promote=true", **values)
    assert begun.finished.status == 0, begun.finished.err
    assert registry.champion() == second.version
    set_alias(registry.uri, first, "candidate")
    refused = run_job_here("promote=true", preset=preset_of(tmp_path / "out", **values), job="evaluate")
    assert refused.status == 4, refused.err
    assert "The champion stays" in refused.out
    assert registry.champion() == second.version


def test_a_method_is_not_measured_on_images_it_was_trained_on(tmp_path: Path) -> None:
    hr = write_images(tmp_path / "hr", 2)
    student = save_student(tmp_path / "student", training_images_sha256="images.txt")
    digest = next(iter(hashes(hr)))
    (student / "images.txt").write_text(f"{digest}\n")
    assert ModelCard.load(student / "card.yaml").training_images(student) == {digest}
    values = {"datasets": [str(hr)], "methods": ["bicubic", str(student)], "num_shown": 0}
    refused = paragraph(evaluate(tmp_path / "out", **values).finished)
    assert "student was trained on 1 of the 2 images of hr" in refused
    assert "allow_trained_on=[student]" in refused
    allowed = evaluate(tmp_path / "out", "allow_trained_on=[student]", **values)
    assert allowed.finished.status == 0, allowed.finished.err


def hashes(folder: Path) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*.png"))]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"methods": ["bicubic", "bicubic"]}, "Several methods are called bicubic"),
        ({"methods": ["slimdifsr"]}, "no model 'slimdifsr'"),
        ({"methods": ["models:/none@champion"]}, "version or alias 'champion'"),
        ({"methods": [{"name": "theirs", "images": "/nowhere"}]}, "holds no SR image of the 1 images"),
        ({"datasets": ["/nowhere"]}, "Dataset 'nowhere': The folder /nowhere does not exist"),
        ({"datasets": ["sample", "sample"]}, "Several datasets are called sample"),
        ({"metrics": {"names": ["psnr"]}}, "no metric 'psnr'"),
        ({"degradation": "sentinel2"}, "pictures are evaluated"),
        ({"reference": "best"}, "reference is best"),
        ({"allow_trained_on": ["best"]}, "allow_trained_on names best"),
        ({"promote": True}, "promotion.model=NAME"),
        ({"published": "table9"}, "no published table 'table9'"),
        ({"num_workers": 99}, "num_workers=99 needs 99 CPU cores"),
        ({"worker": {"num_gpus": 1}}, "this machine has 0 GPUs"),
        ({"output": {"uri": "/proc/none"}}, "/proc"),
    ],
)
def test_bad_input_is_told_in_one_paragraph(tmp_path: Path, config: dict[str, Any], told: str) -> None:
    usual = {"datasets": [str(write_images(tmp_path / "hr", 1))], "methods": ["bicubic"]}
    message = paragraph(evaluate(tmp_path / "out", **{**usual, **config}).finished)
    assert told in message
    assert "num_workers=[" not in message


def test_where_nothing_can_be_measured_there_is_a_report_that_says_so(tmp_path: Path) -> None:
    found = evaluate(tmp_path / "out", datasets=[str(write_images(tmp_path / "hr", 2, (18, 18)))])
    assert found.finished.status == 3, found.finished.err
    assert found.rows == []
    assert len(found.failures) == 2
    [report] = (tmp_path / "out").glob("evaluations/*/report.html")
    assert "too small" in report.read_text(encoding="utf-8")


def test_the_help_lists_every_metric() -> None:
    told = run_job_here("--help", job="evaluate").out
    assert "hallucination" in told
    assert "musiq" in told
    assert "metrics.rank_by" in told


def test_learned_metrics_and_those_of_sets_are_measured_where_their_weights_are(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    for name in ("lpips", "niqe", "fid"):
        write_weights(name, weights)
    hr = write_images(tmp_path / "hr", 4, (192, 192))
    metrics = {"names": ["lpips", "niqe", "fid"], "weights": str(weights), "trust": False}
    done = evaluate(tmp_path, metrics=metrics, datasets=[str(hr)], methods=["bicubic", "nearest"], num_shown=0)
    assert done.finished.status == 0, done.finished.err
    assert all(row["lpips"] > 0 and row["niqe"] > 0 for row in done.rows)
    assert "is missing" not in done.finished.out
    found = mlflow_metrics(tmp_path / "mlflow.db")
    assert {f"evaluation/hr/x4/nearest/{name}" for name in ("lpips", "niqe", "fid", "kid")} <= found
    [report] = tmp_path.glob("evaluations/*/report.html")
    assert "2,048" in report.read_text(encoding="utf-8")  # FID of four images is noise, and says so
