"""The plan job as a user types it."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.estimate.kept_rates import read_rates, write_rates
from tests.conftest import S3Server
from tests.jobs.running import ROOT, Finished, paragraph, run_job, run_job_here
from tests.pipelines.estimate.small_scenes import write_scene

PRESET = ROOT / "jobs" / "presets" / "quickstart" / "bulk.yaml"
TILES = ("scale=2", "tiling={tile_size: 64, halo: 8, tiles_a_side: 2}")
SMALL = (*TILES, "plan.probe_bytes=1000000")

Job = Callable[..., Finished]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """The job in this process, with two scenes, another that is broken, and a cache of its own."""
    write_scene(tmp_path / "in" / "a.tif")
    write_scene(tmp_path / "in" / "more" / "b.tif", (60, 70))
    (tmp_path / "in" / "c.tif").write_bytes(b"II*\x00 broken")

    def run(*arguments: str, preset: Path = PRESET) -> Finished:
        given = (f"input={tmp_path}/in", f"output={tmp_path}/out", *SMALL, *arguments)
        return run_job_here(*given, job="plan", preset=preset, env={"XDG_CACHE_HOME": f"{tmp_path}/cache"})

    return run


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rates that were measured once."""
    folder = tmp_path_factory.mktemp("rates")
    write_scene(folder / "in" / "a.tif")
    saved = f"plan.save_rates={folder}/rates.json"
    env = {"XDG_CACHE_HOME": f"{folder}/cache"}
    done = run_job_here(f"input={folder}/in", f"output={folder}/out", *SMALL, saved, job="plan", preset=PRESET, env=env)
    assert done.status == 0, done.err
    return folder / "rates.json"


def cells(done: Finished) -> list[list[str]]:
    """Rows of the table by workers, the header first; columns are two or more blanks apart."""
    assert done.status == 0, done.err
    (block,) = (part for part in done.out.split("\n\n") if part.startswith("WORKERS"))
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in block.splitlines()]


def estimate(tmp_path: Path) -> Any:
    return json.loads((tmp_path / "estimate.json").read_text())


def test_without_any_argument_it_tells_of_sample_scenes(tmp_path: Path) -> None:
    env = {"XDG_CACHE_HOME": f"{tmp_path}/cache"}
    done = run_job(job="plan", preset=PRESET, cwd=tmp_path, env=env)
    assert done.status == 0, done.err
    assert re.search(r"^scenes +4$", done.out, re.MULTILINE)
    assert len(cells(done)) == 1 + 7
    assert not (tmp_path / "runs").exists()
    again = run_job(
        "plan.measure=false", job="plan", preset=PRESET, cwd=tmp_path, env={"XDG_CACHE_HOME": f"{tmp_path}/cache"}
    )
    assert again.out == done.out, "the rates were kept"


def test_what_there_is_and_what_is_refused_is_told(job: Job, tmp_path: Path, known: Path) -> None:
    done = job(f"plan.rates={known}", f"plan.json_file={tmp_path}/estimate.json")
    assert "2, and 1 refused" in done.out
    assert f"  c: {tmp_path}/in/c.tif" in done.out
    totals = estimate(tmp_path)["totals"]
    assert totals["num_scenes"] == 2
    assert totals["lr_pixels"] == 150 * 130 + 60 * 70
    assert totals["sr_pixels"] == 4 * totals["lr_pixels"]
    assert totals["num_windows"] == 4 + 1
    assert [one["name"] for one in totals["refused"]] == ["c"]
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "cache" / "rssr" / "rates").exists()


def test_each_number_of_workers_has_its_time_and_money(job: Job, known: Path) -> None:
    header, *rows = cells(job(f"plan.rates={known}", "plan.workers=[1,2,5]", "plan.price_per_hour=3.5"))
    assert header[0] == "WORKERS" and "USD" in header
    assert [row[0] for row in rows] == ["1", "2", "5"]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (("plan.price_per_hour=1000", "plan.budget=0.0001"), "more than plan.budget=0.0001"),
        (("plan.max_hours=0.0000001",), "longer than plan.max_hours=1e-07"),
        (("plan.disk_bytes=1000",), "more than plan.disk_bytes=1000"),
    ],
)
def test_what_is_too_much_ends_with_status_4_after_all_was_told(
    job: Job, tmp_path: Path, known: Path, limits: tuple[str, ...], expected: str
) -> None:
    done = job(f"plan.rates={known}", f"plan.json_file={tmp_path}/estimate.json", *limits)
    assert done.status == 4
    assert "WORKERS" in done.out
    assert expected in done.err
    assert "Traceback" not in done.err
    assert estimate(tmp_path)["totals"]["num_scenes"] == 2


def test_what_is_just_enough_passes(job: Job, known: Path) -> None:
    limits = ("plan.price_per_hour=1", "plan.budget=1000", "plan.max_hours=1000", "plan.disk_bytes=1000000000")
    assert job(f"plan.rates={known}", *limits).status == 0


def test_arguments_of_the_bulk_job_are_taken_unchanged(job: Job, tmp_path: Path, known: Path) -> None:
    arguments = ("products.project=false", "keep_work=true", "verify=false", "seed=3", "worker.max_attempts=5")
    done = job(f"plan.rates={known}", f"plan.json_file={tmp_path}/estimate.json", *arguments)
    assert done.status == 0, done.err
    assert "verify" not in estimate(tmp_path)["driver_hours"]


def test_scenes_that_nobody_has_are_told_by_the_million(known: Path, tmp_path: Path) -> None:
    imagined = "plan.imagined={num_scenes: 1000000, lr_size: [1000, 1200]}"
    limits = "plan.store={upload_bytes_per_s: 1000000000}"
    more = (
        "plan.simulate=true",
        f"plan.json_file={tmp_path}/estimate.json",
        f"plan.rates={known}",
        "plan.workers=[1,100]",
    )
    done = run_job_here(*SMALL, imagined, limits, *more, job="plan", preset=PRESET)
    assert done.status == 0, done.err
    told = estimate(tmp_path)
    assert told["totals"]["num_scenes"] == 1_000_000
    assert told["totals"]["lr_pixels"] == 1_000_000 * 1000 * 1200
    assert told["limit"]["efficiency"] < 0.8
    assert {"upload", "requests", "plan"} == told["most_at_once"].keys()
    assert "workers on less than 80% of their time is work" in done.out


def test_finished_scenes_are_not_counted_again(job: Job, tmp_path: Path, known: Path) -> None:
    common = (f"input={tmp_path}/in", f"output={tmp_path}/out", *TILES)
    bulk = run_job_here(*common, job="bulk", preset=PRESET)
    assert bulk.status == 3, "one is broken"
    done = job(f"plan.rates={known}")
    assert done.status == 0, done.err
    assert "Nothing is left to do" in done.out
    write_scene(tmp_path / "in" / "d.tif")
    done = job(f"plan.rates={known}", f"plan.json_file={tmp_path}/estimate.json")
    assert estimate(tmp_path)["totals"]["num_scenes"] == 1


def test_a_bucket_is_told_about_and_left_alone(
    tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3_server.make_bucket()
    monkeypatch.chdir(tmp_path)
    env = {**s3_server.settings.mlflow_environment(), "XDG_CACHE_HOME": f"{tmp_path}/cache"}
    from pipelines.storage import open_store

    store = open_store(bucket, s3_server.settings)
    store.upload_file(write_scene(tmp_path / "a.tif"), "in/a.tif")
    common = (f"input={bucket}/in", f"output={bucket}/out", *SMALL, f"plan.save_rates={tmp_path}/rates.json")
    done = run_job_here(*common, job="plan", preset=PRESET, env=env)
    assert done.status == 0, done.err
    assert [entry.key for entry in store.list()] == ["in/a.tif"]
    stores = read_rates(tmp_path / "rates.json").stores
    assert stores.lease_s is not None, "this server overwrites without a word"
    assert bucket in stores.places


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("input=/no/such/folder",), "/no/such/folder"),
        (("model=no-such-model",), "no-such-model"),
        (("scale=0.5",), "scale"),
        (("plan.measure=false",), "plan.rates=FILE"),
        (("plan.rates=/no/rates.json",), "plan.rates=/no/rates.json cannot be read"),
        (("plan.budget=3",), "a budget needs price_per_hour"),
        (("plan.workers=[0,1]",), "start at 1"),
        (("plan.imagined={num_scenes: 3}",), "give plan.rates=FILE"),
        (("plan.wokers=[1]",), "did you mean 'plan.workers'"),
        (("input=s3://user:planted-secret@bucket/x",), "credentials"),
    ],
)
def test_bad_input_is_one_paragraph(job: Job, tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    done = job(*arguments)
    assert expected in paragraph(done)
    assert "planted-secret" not in done.out + done.err
    assert not (tmp_path / "out").exists()


def test_rates_of_another_tile_size_are_refused(job: Job, known: Path) -> None:
    told = paragraph(job(f"plan.rates={known}", "tiling={tile_size: 32, halo: 4}"))
    assert "tile_size is 32, there 64" in told


def test_help_prints_every_key(job: Job) -> None:
    text = job("--help").out
    for key in (
        "input",
        "output.uri",
        "tiling.tile_size",
        "plan.price_per_hour",
        "plan.budget",
        "plan.store.requests_per_s",
    ):
        assert f"\n  {key} (" in text


def test_rates_go_from_machine_to_machine(job: Job, tmp_path: Path, known: Path) -> None:
    shutil.copy(known, tmp_path / "theirs.json")
    slower = read_rates(tmp_path / "theirs.json")
    tile_s = {name: 1e6 * getattr(slower.model.tile_s, name) for name in ("low", "middle", "high")}
    changed = slower.model.tile_s.model_copy(update=tile_s)
    model = slower.model.model_copy(update={"tile_s": changed, "machine": "an abacus"})
    write_rates(slower.model_copy(update={"model": model}), tmp_path / "theirs.json")
    done = job(f"plan.rates={tmp_path}/theirs.json", f"plan.json_file={tmp_path}/estimate.json")
    assert "an abacus" in done.out
    assert next(iter(estimate(tmp_path)["shares"])) == "model"
