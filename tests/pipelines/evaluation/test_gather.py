from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.evaluation.gather import gather
from pipelines.evaluation.opening import OpenEvaluation
from pipelines.evaluation.parts import Part
from pipelines.evaluation.result import Failure
from pipelines.evaluation.task import ImageJob
from pipelines.evaluation.work import OF_ALL_METHODS, Finding
from rssr.metrics.reliability import ReliabilityTally
from tests.pipelines.evaluation.small import write_images
from tests.pipelines.evaluation.test_opening import opened


@pytest.fixture
def evaluation(tmp_path: Path) -> OpenEvaluation:
    return opened(
        tmp_path, datasets=[str(write_images(tmp_path / "hr", 2, num_classes=1))], scales=[2, 4], title="A title"
    )


def part(scale: float, *images: int) -> Part:
    return Part(tuple(ImageJob(0, scale, image) for image in images), "")


def row(image: int, psnr: float, **values: object) -> Finding:
    return replace(Finding(image, "bicubic", {"psnr_y": psnr}, (), 0.5, 0.75), **values)  # type: ignore[arg-type]


def test_rows_have_what_was_found_in_order(evaluation: OpenEvaluation) -> None:
    found = [(part(2.0, 0, 1), [row(0, 30.0), row(1, 31.0)]), (part(4.0, 0), [row(0, 25.0)])]
    result = gather(evaluation, found)
    assert [(r.scale, r.key[-6:], r.class_name, r.metrics["psnr_y"]) for r in result.rows] == [
        (2.0, "00.png", "class0", 30.0),
        (2.0, "01.png", "class0", 31.0),
        (4.0, "00.png", "class0", 25.0),
    ]
    assert (result.title, result.scales, result.reference, result.rank_by) == (
        "A title",
        (2.0, 4.0),
        "bicubic",
        "psnr_y",
    )
    assert result.versions["torch"].startswith("2")
    assert "degradation" in result.config


def test_an_image_that_fails_everywhere_alike_is_told_once(evaluation: OpenEvaluation) -> None:
    gone = Finding(0, OF_ALL_METHODS, reasons=("It is gone.",))
    small = Finding(1, OF_ALL_METHODS, reasons=("It is too small.",))
    odd = Finding(1, "bicubic", reasons=("It stumbled.",))
    result = gather(evaluation, [(part(2.0, 0, 1), [gone, odd]), (part(4.0, 0, 1), [gone, small])])
    keys = [f"class0/image_0{number}.png" for number in (0, 1)]
    assert result.failures == [
        Failure("hr", keys[0], "It is gone."),
        Failure("hr", keys[1], "It stumbled.", 2.0, "bicubic"),
        Failure("hr", keys[1], "It is too small.", 4.0),
    ]
    assert result.rows == []


def test_a_metric_that_failed_is_told_beside_its_row(evaluation: OpenEvaluation) -> None:
    result = gather(evaluation, [(part(2.0, 0), [row(0, 30.0, reasons=("NIQE cannot be measured.",))])])
    assert len(result.rows) == len(result.failures) == 1


def test_memory_is_the_most_and_machines_are_all_told(evaluation: OpenEvaluation) -> None:
    findings = [row(0, 30.0, peak_bytes=7, machine="one"), row(1, 30.0, peak_bytes=9, machine="two")]
    result = gather(evaluation, [(part(2.0, 0, 1), findings)])
    assert result.methods[0].peak_bytes == 9
    assert result.hardware == "one; two; 1 thread a worker"


def test_error_bars_of_all_images_are_judged_together(evaluation: OpenEvaluation) -> None:
    random = np.random.default_rng(0)
    whole, tallies = ReliabilityTally(), []
    for _ in range(2):
        values = random.uniform(1, 2, 50), random.normal(0, 1, 50)
        tally = ReliabilityTally()
        tally.add(*values)
        whole.add(*values)
        tallies.append(tally.to_bytes())
    findings = [row(number, 30.0, tally=tally) for number, tally in enumerate(tallies)]
    assert gather(evaluation, [(part(2.0, 0, 1), findings)]).reliability == {"bicubic": whole.result()}
