"""Variants of the paper's ablation study, several in one job and one alone."""

import re
import sys
from pathlib import Path
from typing import Any

import mlflow
import pyarrow.parquet as pq
import pytest

import rssr
from jobs import slimdiffsr
from tests.jobs.running import TINY, Finished, Run, paragraph, phase_digests, run_job_here, share_phases

# With one crop a step, the deepest level of a student of full depth has one position: too few for MMD.
SWEEP = ("num_workers=0", "ablation=[wo-sap,wo-distillation,fixed-timestep]", "student.batch_size=1")


@pytest.fixture(scope="module")
def sweep(undisturbed: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A sweep of which one variant fails, on phases that an earlier job has finished."""
    folder = share_phases(undisturbed, tmp_path_factory.mktemp("sweep"))
    result = run_job_here(*SWEEP, f"output.uri={folder}")
    assert result.status == 3, result.err
    return Run(folder, result)


def figures(run: Run) -> dict[tuple[str, str], dict[str, Any]]:
    [path] = [path for path in run.folder.glob("sweeps/*.parquet") if not path.stem.endswith("-images")]
    return {(row["variant"], row["model"]): row for row in pq.read_table(path).to_pylist()}


def test_a_variant_that_fails_is_named_and_the_others_stand(sweep: Run) -> None:
    assert "Failed: wo-sap: ValueError: MMD needs at least two samples" in sweep.result.out
    assert set(figures(sweep)) == {
        ("bicubic", "baseline"),
        ("published", "student"),
        ("published", "teacher"),
        ("wo-distillation", "student"),
        ("fixed-timestep", "student"),
        ("fixed-timestep", "teacher"),
    }
    [page] = sweep.folder.glob("sweeps/*.html")
    assert "MMD needs at least two samples" in page.read_text()


def test_the_sweep_ends_in_tables_of_the_papers_shape(sweep: Run) -> None:
    titles = [line.split("  ")[0] for line in sweep.result.out.splitlines()]
    tables = [title for title in titles if title.startswith(("Table", "Fig."))]
    assert [re.split("[:;]", title)[0] for title in tables] == ["Table 6", "Table 7", "Fig. 13 and 14"]
    rows = [title for title in titles if title in ("W/O SAP", "No-Dis", "Fixed timestep", "Ours", "Ours, teacher")]
    assert rows == ["W/O SAP", "Ours", "No-Dis", "Ours", "Fixed timestep", "Ours", "Ours, teacher"]


def test_rows_tell_quality_cost_and_the_distance_from_the_published_form(sweep: Run) -> None:
    found = figures(sweep)
    student, variant = found["published", "student"], found["wo-distillation", "student"]
    assert variant["psnr_y_db_difference"] == pytest.approx(variant["psnr_y_db"] - student["psnr_y_db"])
    assert variant["psnr_y_db_difference_low"] < variant["psnr_y_db_difference"] != 0
    assert student["psnr_y_db_difference"] is None
    assert (student["paper_parameters_millions"], student["num_images"], student["device"]) == (58.05, 5, "cpu")
    assert student["macs_512"] == variant["macs_512"] > 1e9
    teacher = found["fixed-timestep", "teacher"]
    assert teacher["num_parameters"] > student["num_parameters"]
    assert teacher["seconds_512"] > 0
    assert teacher["psnr_y_db_difference"] is not None


def test_phases_that_variants_share_run_once(sweep: Run, undisturbed: Run) -> None:
    """Base, uncertainty and teacher come from the earlier job; a student without distillation asks for no teacher."""
    started = re.findall(r"phase (\w+): \d+ steps", sweep.result.err)
    assert started == ["student", "student", "student", "teacher", "student"]  # the second one failed
    asked = sweep.result.err.split("variant wo-distillation")[1].split("variant fixed-timestep")[0]
    assert "teacher" not in asked
    before = phase_digests(undisturbed.folder)
    assert before["base/taesd/diffusion_pytorch_model.safetensors"] in phase_digests(sweep.folder).values()


def test_models_of_variants_lie_under_names_of_their_own_and_run(sweep: Run) -> None:
    names = sorted(re.sub("-[0-9a-f]{16}$", "", path.name) for path in sweep.folder.glob("models/*"))
    stem = "slimdiffsr-x4-tiny"
    assert names == [stem, f"{stem}-fixed-timestep", f"{stem}-wo-distillation"]
    [folder] = sweep.folder.glob("models/*-wo-distillation-*")
    model = rssr.load_model(folder)
    assert model.card is not None
    assert model.card.name == f"{stem}-wo-distillation"


def test_variants_are_runs_below_one_run(sweep: Run) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{sweep.folder}/mlflow.db")
    runs = {run.info.run_id: run for run in client.search_runs(["1"])}
    name = {run_id: run.info.run_name for run_id, run in runs.items()}
    below = {
        (name[run.data.tags["mlflow.parentRunId"]], run.info.run_name, run.info.status)
        for run in runs.values()
        if "mlflow.parentRunId" in run.data.tags
    }
    assert below == {
        ("slimdiffsr sweep", "published", "FINISHED"),
        ("slimdiffsr sweep", "wo-sap", "FAILED"),
        ("slimdiffsr sweep", "wo-distillation", "FINISHED"),
        ("slimdiffsr sweep", "fixed-timestep", "FINISHED"),
        ("published", "student", "FINISHED"),
        ("wo-sap", "student", "FAILED"),
        ("wo-distillation", "student", "FINISHED"),
        ("fixed-timestep", "teacher", "FINISHED"),
        ("fixed-timestep", "student", "FINISHED"),
    }
    [variant] = [run for run in runs.values() if run.info.run_name == "fixed-timestep"]
    assert variant.data.params["teacher.timestep"] == "fixed"
    assert "evaluation/fixed-timestep_teacher/psnr_y_db" in variant.data.metrics


def test_one_variant_alone_is_registered_under_its_own_name(sweep: Run) -> None:
    """Its phases are those of the sweep; its resolved configuration repeats it."""
    arguments = ("num_workers=0", "ablation=wo-distillation", "student.batch_size=1", "phases=[base,student]")
    alone = run_job_here(*arguments, f"output.uri={sweep.folder}", "report.pictures=false")
    assert alone.status == 0, alone.err
    assert alone.err.count("finished already") == 2
    assert "registered  slimdiffsr-x4-tiny-wo-distillation version 1\n" in alone.out
    configs = {path: path.read_text() for path in sweep.folder.glob("mlflow-artifacts/*/artifacts/config.yaml")}
    [config] = [path for path, text in configs.items() if "ablation: wo-distillation\n" in text and "phases:\n" in text]
    again = run_job_here("report.pictures=false", preset=config)
    assert again.status == 0, again.err
    assert "slimdiffsr-x4-tiny-wo-distillation version 1\n" in again.out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("ablation=wo-dcs",), "'ablation' is refused: there is no variant 'wo-dcs'; did you mean 'wo-dsc'?"),
        (("ablation=[wo-mmd,nothing]",), "there is no variant 'nothing'; known are published, vae, "),
        (("ablation=[]",), "the list names no variant"),
        (("ablation=[all]",), "there is no variant 'all'"),
        (("ablation=all", "phases=[base]"), "Leave phases unset"),
    ],
)
def test_what_cannot_be_ablated_is_told_in_one_paragraph(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    expected: str,
) -> None:
    """In this process, which saves starting one for each case."""
    monkeypatch.setattr(sys, "argv", ["slimdiffsr.py", str(TINY), f"output.uri={tmp_path}", *arguments])
    status = slimdiffsr.main()
    assert expected in paragraph(Finished(status, *capfd.readouterr()))
