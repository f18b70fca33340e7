"""What the main job leaves behind, and what it does when it is started again."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
import yaml

import rssr
from rssr.errors import ModelError
from tests.browser import Browser, assert_works
from tests.jobs.running import Run, mlflow_runs, phase_digests, run_job_here, share_phases, with_store

PHASES = ["base", "deviation", "student", "teacher", "uncertainty"]
FINISHED = sorted((name, "FINISHED") for name in [*PHASES, "slimdiffsr"])


class Page(HTMLParser):
    """What a page shows, and what it would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.loaded: list[str] = []
        self.num_pictures = 0
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.num_pictures += tag in ("img", "svg")
        for name, value in attrs:
            if name == "src" or (name == "href" and tag == "link"):
                self.loaded.append(value or "")


def test_says_where_everything_lies_and_what_to_type_next(undisturbed: Run) -> None:
    out = undisturbed.result.out
    places = [match for match in re.findall(r"\S+", out) if match.startswith(str(undisturbed.folder))]
    [model] = undisturbed.folder.glob("models/*")
    [product] = undisturbed.folder.glob("products/*/*_x4.tif")
    [uncertainty] = undisturbed.folder.glob("products/*/*_x4_uncertainty.tif")
    [report] = undisturbed.folder.glob("reports/*.html")
    assert {str(place) for place in (undisturbed.folder, model, product, uncertainty, report)} <= set(places)
    assert all(Path(place).exists() for place in places)
    commands = [line for line in out[out.index("Next:") :].splitlines()[1:] if line]
    assert [command.split()[0] for command in commands] == ["rssr", "mlflow", "python"]


def test_the_model_is_whole_and_its_card_says_what_it_is(undisturbed: Run) -> None:
    [folder] = undisturbed.folder.glob("models/*")
    model = rssr.load_model(folder)
    card = model.card
    assert card is not None
    assert (model.name, card.method, card.name) == ("slimdiffsr", "slimdiffsr", "slimdiffsr-x4-tiny")
    assert (card.bands, card.scale_range) == (["red", "green", "blue"], (4.0, 4.0))
    assert len(card.training_images(folder)) == card.training_manifests[0].num_images == 15
    assert {"bicubic/psnr_y_db", "slimdiffsr/psnr_y_db", "slimdiffsr/ssim_y"} <= set(card.metrics)


def test_the_product_keeps_the_crs_and_covers_the_same_ground(undisturbed: Run) -> None:
    [product] = undisturbed.folder.glob("products/*/*_x4.tif")
    with rasterio.open(product) as sr:
        assert (sr.height, sr.width) == (160, 224)
        assert sr.crs is not None
        assert sr.crs.is_projected
        assert sr.transform.a == pytest.approx(1.6 / 4)
        assert sr.transform.e == pytest.approx(-1.6 / 4)
        assert sr.bounds.right - sr.bounds.left == pytest.approx(56 * 1.6)
        assert sr.bounds.top - sr.bounds.bottom == pytest.approx(40 * 1.6)


def test_error_bars_are_fitted_and_judged_on_different_held_out_images(undisturbed: Run) -> None:
    [folder] = undisturbed.folder.glob("models/*")
    card = rssr.load_model(folder).card
    assert card is not None
    assert card.uncertainty is not None
    assert card.uncertainty.fitted_on is not None
    assert (card.uncertainty.fitted_on.num_images, card.uncertainty.num_images) == (3, 2)
    fitted = card.uncertainty_images(folder)
    assert len(fitted) == 3
    assert not fitted & card.training_images(folder)
    [told] = undisturbed.folder.glob("evaluations/*-uncertainty.json")
    assert json.loads(told.read_text())["reliability"]["rmse"] == card.uncertainty.rmse
    assert len(card.uncertainty.reliability) > 5


def test_the_product_has_error_bars_in_grey_levels(undisturbed: Run) -> None:
    [product] = undisturbed.folder.glob("products/*/*_x4.tif")
    [uncertainty] = undisturbed.folder.glob("products/*/*_x4_uncertainty.tif")
    with rasterio.open(product) as sr, rasterio.open(uncertainty) as bars:
        assert (bars.shape, bars.crs, bars.transform, bars.count) == (sr.shape, sr.crs, sr.transform, 3)
        assert bars.dtypes == ("float32",) * 3
        assert 1 < bars.read().mean() < 255


def test_without_its_phase_the_job_makes_a_model_without_error_bars(undisturbed: Run, tmp_path: Path) -> None:
    share_phases(undisturbed, tmp_path)
    overrides = ("phases=[base,uncertainty,teacher,student]", "report.pictures=false")
    result = run_job_here("num_workers=0", f"output.uri={tmp_path}", *overrides)
    assert result.status == 0, result.err
    assert result.err.count("finished already") == 4
    [folder] = tmp_path.glob("models/*")
    model = rssr.load_model(folder)
    assert model.card is not None
    assert model.card.uncertainty is None
    with pytest.raises(ModelError, match=r"slimdiffsr-x4-tiny \(slimdiffsr\) gives no uncertainty"):
        rssr.super_resolve(np.zeros((8, 8, 3), np.uint8), model, 4, return_uncertainty=True)
    assert not list(tmp_path.glob("products/*/*_uncertainty.tif"))


def test_evaluation_compares_the_student_with_all_baselines(undisturbed: Run) -> None:
    [rows] = undisturbed.folder.glob("evaluations/*.parquet")
    table = pq.read_table(rows).to_pylist()
    models = {"constant colour", "bicubic", "untrained", "matched colours", "slimdiffsr"}
    assert {row["model"] for row in table} == models
    assert len(table) == 5 * 5
    by_model = {row["model"]: row["psnr_y_db"] for row in table if row["key"] == table[0]["key"]}
    assert by_model["bicubic"] > by_model["constant colour"]
    assert by_model["slimdiffsr"] != by_model["untrained"]


def test_the_report_stands_alone_and_says_who_wins(undisturbed: Run) -> None:
    [report] = undisturbed.folder.glob("reports/*.html")
    page = Page(report.read_text())
    assert page.loaded
    assert all(source.startswith("data:") for source in page.loaded)
    assert page.num_pictures > len(PHASES)  # curves and panels
    assert re.search(r"(wins: .*|No clear difference between .*) on held-out PSNR-Y", page.text)
    for phase in PHASES:
        assert f"Phase {phase}" in page.text
    assert re.search("Error bars are .* on the whole", page.text)
    assert "untrained" in page.text
    assert "constant colour" in page.text


def test_the_report_works_in_a_browser(undisturbed: Run, browser: Browser) -> None:
    [report] = undisturbed.folder.glob("reports/*.html")
    assert_works(browser, report)


def test_one_parent_run_with_a_nested_run_a_phase(undisturbed: Run) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{undisturbed.folder}/mlflow.db")
    [experiment] = [found for found in client.search_experiments() if found.name == "rssr"]
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    parent = min(parents, key=lambda run: run.info.start_time)
    nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert {run.info.run_name for run in nested} == set(PHASES)
    assert parent.data.params["student.num_steps"] == "6"
    assert len(parent.data.tags["rssr.manifest_digest"]) == 64
    assert parent.data.tags["rssr.version"] == rssr.__version__
    assert {"config.yaml"} <= {path.path for path in client.list_artifacts(parent.info.run_id)}
    models = ("constant_colour", "bicubic", "untrained", "matched_colours", "slimdiffsr")
    assert {f"evaluation/{model}/psnr_y_db" for model in models} <= set(parent.data.metrics)
    for run in nested:
        names = set(run.data.metrics)
        assert any(name.startswith("loss/") for name in names)
        assert "samples_per_second" in names
        assert any(name.startswith("learning_rate/") for name in names)
        assert any(path.path.startswith("images") for path in client.list_artifacts(run.info.run_id))


def test_the_first_model_is_candidate_and_champion(undisturbed: Run) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{undisturbed.folder}/mlflow.db")
    champion = client.get_model_version_by_alias("slimdiffsr-x4-tiny", "champion")
    candidate = client.get_model_version_by_alias("slimdiffsr-x4-tiny", "candidate")
    assert int(champion.version) == 1 <= int(candidate.version)


def test_the_resolved_configuration_repeats_the_run_which_is_recognised(undisturbed: Run) -> None:
    [config] = undisturbed.folder.glob("mlflow-artifacts/*/artifacts/config.yaml")
    assert yaml.safe_load(config.read_text())["output"]["uri"] == str(undisturbed.folder)
    records = {path: path.stat().st_mtime_ns for path in undisturbed.folder.glob("phases/*/done.json")}
    assert len(records) == len(PHASES)
    again = run_job_here(preset=config)
    assert again.status == 0, again.err
    assert again.err.count("finished already") == len(PHASES)
    assert {path: path.stat().st_mtime_ns for path in undisturbed.folder.glob("phases/*/done.json")} == records
    assert mlflow_runs(undisturbed.folder / "mlflow.db") == FINISHED
    assert "slimdiffsr-x4-tiny version 1\n" in again.out


def test_another_setting_runs_only_what_depends_on_it(undisturbed: Run, tmp_path: Path) -> None:
    share_phases(undisturbed, tmp_path)
    overrides = ("student.mmd_weight=0", "phases=[teacher,student]", "report.pictures=false")
    result = run_job_here("num_workers=0", f"output.uri={tmp_path}", *overrides)
    assert result.status == 0, result.err
    assert re.findall(r"phase (\w+) is finished already", result.err) == ["teacher"]
    assert len(list(tmp_path.glob("phases/student-*/done.json"))) == 2


def test_fresh_starts_over_and_ends_the_same(tmp_path: Path) -> None:
    arguments = ("num_workers=0", f"output.uri={with_store(tmp_path)}", "phases=[base]")
    first = run_job_here(*arguments)
    assert first.status == 0, first.err
    digests = phase_digests(tmp_path)
    [record] = tmp_path.glob("phases/*/done.json")
    made = record.stat().st_mtime_ns
    again = run_job_here(*arguments, "fresh=true")
    assert again.status == 0, again.err
    assert "finished already" not in again.err
    assert record.stat().st_mtime_ns != made
    assert phase_digests(tmp_path) == digests
    assert mlflow_runs(tmp_path / "mlflow.db") == [("base", "FINISHED")] * 2 + [("slimdiffsr", "FINISHED")] * 2
