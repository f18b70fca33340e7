import json
import random
import signal
import sqlite3
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
import rasterio

import rssr
from tests.jobs.running import Run, environment, job_command, run_job


def phase_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every output file of every phase."""
    digests = {}
    for done in sorted(folder.glob("phases/*/done.json")):
        record = json.loads(done.read_text())
        digests |= {f"{record['phase']}/{name}": digest for name, digest in record["files"].items()}
    return digests


def test_leaves_models_product_report_and_runs(undisturbed: Run) -> None:
    folder = undisturbed.folder
    assert len(list(folder.glob("phases/*/done.json"))) == 4
    [model] = folder.glob("models/*")
    assert rssr.load_model(model).card is not None
    [report] = folder.glob("reports/*.html")
    parser = HTMLParser()
    parser.feed(report.read_text())
    text = report.read_text()
    assert "bicubic" in text
    assert 'src="http' not in text
    assert str(report) in undisturbed.result.out


def test_the_product_keeps_the_crs_and_covers_the_same_ground(undisturbed: Run) -> None:
    [product] = undisturbed.folder.glob("products/*/*.tif")
    with rasterio.open(product) as sr:
        assert (sr.height, sr.width) == (160, 224)
        assert sr.crs is not None
        assert sr.transform.a == pytest.approx(1.6 / 4)
        assert sr.bounds.right - sr.bounds.left == pytest.approx(56 * 1.6)
        assert sr.bounds.top - sr.bounds.bottom == pytest.approx(40 * 1.6)


def test_evaluation_compares_the_student_with_all_baselines(undisturbed: Run) -> None:
    import pyarrow.parquet as pq

    [rows] = undisturbed.folder.glob("evaluations/*.parquet")
    table = pq.read_table(rows).to_pylist()
    assert {row["model"] for row in table} == {"constant colour", "bicubic", "untrained", "slimdiffsr"}
    assert len(table) == 4 * 5
    by_model = {row["model"]: row["psnr_y_db"] for row in table if row["key"] == table[0]["key"]}
    assert by_model["bicubic"] > by_model["constant colour"]


def test_finished_phases_are_recognised(undisturbed: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.folder.glob("phases/*/done.json")}
    again = run_job("num_workers=0", f"output.uri={undisturbed.folder}")
    assert again.status == 0, again.err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert again.err.count("finished already") == 4


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_a_random_moment_it_ends_with_the_same_weights(undisturbed: Run, tmp_path: Path, seed: int) -> None:
    arguments = job_command("num_workers=0", f"output.uri={tmp_path}")
    job = subprocess.Popen(arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment())
    _await_checkpoint(tmp_path, job)
    time.sleep(random.Random(seed).uniform(0, 6))
    job.send_signal(signal.SIGKILL)
    job.wait()
    resumed = run_job("num_workers=0", f"output.uri={tmp_path}")
    assert resumed.status == 0, resumed.err
    assert phase_digests(tmp_path) == phase_digests(undisturbed.folder)
    assert _count(tmp_path, "SELECT count(*) FROM runs") == 5  # one parent and four phases, none twice


def test_another_setting_runs_only_what_depends_on_it(undisturbed: Run) -> None:
    result = run_job("num_workers=0", f"output.uri={undisturbed.folder}", "student.mmd_weight=0")
    assert result.status == 0, result.err
    assert result.err.count("finished already") == 3
    assert len(list(undisturbed.folder.glob("phases/student-*/done.json"))) == 2


def test_fresh_starts_over(tmp_path: Path) -> None:
    first = run_job("num_workers=0", f"output.uri={tmp_path}", "phases=[base]")
    assert first.status == 0, first.err
    again = run_job("num_workers=0", f"output.uri={tmp_path}", "phases=[base]", "fresh=true")
    assert again.status == 0, again.err
    assert "finished already" not in again.err
    assert _count(tmp_path, "SELECT count(*) FROM runs") == 4


def test_a_phase_alone_asks_for_what_it_builds_on(tmp_path: Path) -> None:
    result = run_job("num_workers=0", f"output.uri={tmp_path}", "phases=[student]")
    assert result.status == 2
    assert "builds on phase base" in result.err
    assert "Traceback" not in result.err


def test_one_parent_run_with_a_nested_run_a_phase(undisturbed: Run) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{undisturbed.folder}/mlflow.db")
    [experiment] = [e for e in client.search_experiments() if e.name == "rssr"]
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    parent = min(parents, key=lambda run: run.info.start_time)
    nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert {run.info.run_name for run in nested} == {"base", "uncertainty", "teacher", "student"}
    assert parent.data.params["student.num_steps"] == "6"
    assert parent.data.tags["rssr.manifest_digest"]
    assert "evaluation/slimdiffsr/psnr_y_db" in parent.data.metrics
    for run in nested:
        names = set(run.data.metrics)
        assert any(name.startswith("loss/") for name in names)
        assert {"learning_rate", "samples_per_second"} <= names
        assert any(path.path.startswith("images") for path in client.list_artifacts(run.info.run_id))
    model = client.get_model_version_by_alias("slimdiffsr-x4-tiny", "champion")
    assert client.get_model_version_by_alias("slimdiffsr-x4-tiny", "candidate").version >= model.version


def test_no_secret_reaches_the_output(tmp_path: Path) -> None:
    secrets = {"AWS_SECRET_ACCESS_KEY": "planted-secret-4711", "AWS_ACCESS_KEY_ID": "planted-key-0815"}
    result = run_job("num_workers=0", f"output.uri={tmp_path}", "phases=[base]", env=secrets)
    assert result.status == 0, result.err
    planted = [value.encode() for value in secrets.values()]
    for path in tmp_path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(value in data for value in planted), path
    assert not any(value.decode() in result.out + result.err for value in planted)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data.uri=/no/such/folder", "/no/such/folder"),
        ("data.uri={empty}", "no image"),
        ("data.uri={texts}", "no image"),
        ("data.uri={mostly_corrupt}", "max_corrupt_fraction"),
        ("data.uri={small}", "patch"),
        ("student.nun_steps=3", "student.num_steps"),
        ("student.num_steps=many", "student.num_steps"),
        ("data.uri=s3://bucket/images", "S3"),
        ("base_weights={{stable_diffusion: /no/weights, taesd: /no/taesd}}", "/no/weights"),
        ("base_weights.stable_diffusion={empty}", "taesd"),
        ("phases=[nonsense]", "nonsense"),
        ("teacher.reconstruction.lpips_weight=2.5", "vgg16.safetensors"),
        ("product.scene=/no/scene.tif", "/no/scene.tif"),
        ("output.uri=/proc/nothing", "/proc/nothing"),
    ],
)
def test_bad_input_is_one_paragraph_and_status_2(
    bad_folders: dict[str, Path], tmp_path: Path, override: str, expected: str
) -> None:
    env = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "something",
    }
    result = run_job("num_workers=0", f"output.uri={tmp_path}", override.format(**bad_folders), env=env)
    assert result.status == 2, result.err
    assert "Traceback" not in result.err
    message = result.err[result.err.index("Error: ") :]
    assert expected.lower() in message.lower()
    assert len(message.strip().splitlines()) <= 2


@pytest.fixture(scope="session")
def bad_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders that cannot be trained on."""
    import numpy as np
    from PIL import Image

    root = tmp_path_factory.mktemp("bad")
    names = ("empty", "texts", "mostly_corrupt", "small")
    folders = {name: root / name for name in names}
    for folder in folders.values():
        folder.mkdir()
    (folders["texts"] / "notes.txt").write_text("no picture")
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    for number in range(4):
        Image.fromarray(pixels).save(folders["mostly_corrupt"] / f"good{number}.png")
        (folders["mostly_corrupt"] / f"bad{number}.png").write_bytes(b"" if number % 2 else b"\x89PNG\r\n\x1a\nbroken")
        Image.fromarray(pixels[:20, :20]).save(folders["small"] / f"small{number}.png")
    return folders


def _await_checkpoint(folder: Path, job: "subprocess.Popen[bytes]") -> None:
    for _ in range(1200):
        if list(folder.glob("phases/*/checkpoints/*/index.json")):
            return
        assert job.poll() is None, "the job ended before its first checkpoint"
        time.sleep(0.1)
    raise AssertionError("no checkpoint within two minutes")


def _count(folder: Path, query: str) -> int:
    with sqlite3.connect(folder / "mlflow.db") as connection:
        return int(connection.execute(query).fetchone()[0])
