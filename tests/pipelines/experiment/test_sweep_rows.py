import csv
import io
import math

import pyarrow.parquet as pq
import pytest

from pipelines.evaluation.comparison import Evaluation
from pipelines.experiment.sweep import SweepResults
from pipelines.experiment.sweep_rows import SweepRow, sweep_rows, to_csv, to_parquet
from rssr.inference.cost import ImageCost

PSNR = {
    "bicubic": (20.0, 30.0, 40.0),
    "published": (21.0, 31.0, 41.0),
    "published teacher": (23.0, 33.0, 43.0),
    "wo-mmd": (20.9, 30.8, 40.7),
    "fixed-timestep": (21.5, 31.4, 41.6),
    "fixed-timestep teacher": (22.0, 32.0, math.inf),
}


def measured(scales: tuple[float, ...] = (4.0,)) -> SweepResults:
    rows: list[dict[str, float | str]] = [
        {"key": f"{number}.png", "model": model, "scale": scale, "psnr_y_db": psnr + scale, "ssim_y": psnr / 100}
        for model, values in PSNR.items()
        for scale in scales
        for number, psnr in enumerate(values)
    ]
    costs = {model: ImageCost(1_000_000, 2_000_000_000, 0.25, "cpu") for model in PSNR if model != "bicubic"}
    return SweepResults(Evaluation(rows), costs)


@pytest.fixture
def rows() -> dict[str, SweepRow]:
    return {row.model: row for row in sweep_rows(measured(), "published", {"wo-mmd": 58.05})}


def test_students_are_compared_with_the_published_student_and_teachers_with_its_teacher(
    rows: dict[str, SweepRow],
) -> None:
    assert rows["wo-mmd"].differences["psnr_y_db"].mean == pytest.approx(-0.2)
    assert rows["wo-mmd"].differences["ssim_y"].mean == pytest.approx(-0.002)
    assert rows["fixed-timestep"].differences["psnr_y_db"].mean == pytest.approx(0.5)
    # An image without any error counts as 100 dB.
    assert rows["fixed-timestep teacher"].differences["psnr_y_db"].mean == pytest.approx((-1 - 1 + 53) / 3)
    assert rows["published"].differences == rows["published teacher"].differences == {}


def test_models_are_told_apart_from_their_teachers_and_the_baseline(rows: dict[str, SweepRow]) -> None:
    teacher = rows["fixed-timestep teacher"]
    assert (teacher.variant, teacher.is_teacher, teacher.num_images) == ("fixed-timestep", True, 3)
    assert not rows["fixed-timestep"].is_teacher
    assert rows["bicubic"].cost is None
    assert rows["wo-mmd"].paper_millions == 58.05


def test_each_scale_has_its_own_rows() -> None:
    rows = sweep_rows(measured((2.0, 8.0)), "published", {})
    assert [row.scale for row in rows] == [2.0] * len(PSNR) + [8.0] * len(PSNR)
    means = {(row.model, row.scale): row.means["psnr_y_db"] for row in rows}
    assert means["wo-mmd", 8.0] - means["wo-mmd", 2.0] == pytest.approx(6)


def test_without_the_reference_there_are_no_differences() -> None:
    results = measured()
    results.evaluation.rows = [row for row in results.evaluation.rows if row["model"] != "published"]
    rows = {row.model: row for row in sweep_rows(results, "published", {})}
    assert rows["wo-mmd"].differences == {}
    assert rows["wo-mmd"].means["psnr_y_db"] == pytest.approx(34.8)


def test_files_hold_a_row_a_model_with_the_same_columns() -> None:
    rows = sweep_rows(measured(), "published", {"published": 58.05})
    table = pq.read_table(io.BytesIO(to_parquet(rows))).to_pylist()
    text = list(csv.DictReader(io.StringIO(to_csv(rows).decode())))
    assert [row["variant"] for row in table] == [row["variant"] for row in text]
    assert [row["model"] for row in table] == ["baseline", "student", "teacher", "student", "student", "teacher"]
    [wo_mmd] = [row for row in table if row["variant"] == "wo-mmd"]
    low, mean, high = (wo_mmd[f"psnr_y_db_difference{end}"] for end in ("_low", "", "_high"))
    assert low < mean < high
    assert mean == pytest.approx(-0.2)
    assert (wo_mmd["num_parameters"], wo_mmd["macs_512"], wo_mmd["seconds_512"]) == (1_000_000, 2_000_000_000, 0.25)
    assert float(text[1]["paper_parameters_millions"]) == 58.05
    assert text[0]["num_parameters"] == ""
