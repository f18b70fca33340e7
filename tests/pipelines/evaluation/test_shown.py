from pathlib import Path

import numpy as np
import pytest

from pipelines.evaluation import shown as showing
from pipelines.evaluation.gather import gather
from pipelines.evaluation.opening import OpenEvaluation
from pipelines.evaluation.parts import plan_parts
from pipelines.evaluation.result import EvaluationResult
from pipelines.evaluation.shown import shown_images, subject_of
from pipelines.evaluation.stream import run_here
from rssr.degradation import degradation_preset, degrade
from tests.pipelines.evaluation.small import picture, save_sampler, write_images
from tests.pipelines.evaluation.test_opening import opened


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[OpenEvaluation, EvaluationResult]:
    """Five images by bicubic interpolation and by an untrained sampler; two of each kind are to be shown."""
    folder = tmp_path_factory.mktemp("shown")
    hr, model = write_images(folder / "hr", 5, num_classes=1), save_sampler(folder / "sampler")
    evaluation = opened(folder, datasets=[str(hr)], methods=["bicubic", str(model)], num_shown=2)
    parts = plan_parts(evaluation.task, 5, ())
    findings = [item for group in run_here(evaluation.task, parts[0].jobs) for item in group]
    return evaluation, gather(evaluation, [(parts[0], findings)])


def test_the_worst_and_the_middling_are_those_of_the_method_in_question(
    found: tuple[OpenEvaluation, EvaluationResult],
) -> None:
    evaluation, result = found
    assert subject_of(result) == "sampler"
    images = shown_images(evaluation, result)
    values = sorted(result.values("sampler", "psnr_y", 4.0).values())
    assert [image.row.metrics["psnr_y"] for image in images] == [values[number] for number in (0, 1, 2, 3)]
    assert [image.why for image in images] == ["worst PSNR (Y) of sampler"] * 2 + ["middling PSNR (Y) of sampler"] * 2


def test_what_is_shown_is_what_was_measured(found: tuple[OpenEvaluation, EvaluationResult]) -> None:
    evaluation, result = found
    image = shown_images(evaluation, result)[0]
    hr = picture(int(image.row.key[-6:-4]))
    assert image.hr is not None
    assert np.array_equal(image.hr, hr)
    assert np.array_equal(image.lr, degrade(hr, 4.0, degradation_preset("bicubic"), 0))
    assert list(image.sr) == list(image.consistency) == ["bicubic", "sampler"]
    errors = {
        name: float(np.square(sr[4:-4, 4:-4].astype(float) - hr[4:-4, 4:-4]).mean()) for name, sr in image.sr.items()
    }
    assert errors["bicubic"] < errors["sampler"]
    assert list(image.uncertainty) == ["sampler"]
    assert image.uncertainty["sampler"].values.shape == (64, 64)
    maps = list(image.consistency.values())
    assert maps[0].values.shape == (16, 16)
    assert maps[0].limits == maps[1].limits  # so that they can be compared


def test_of_large_images_the_middle_is_shown(
    found: tuple[OpenEvaluation, EvaluationResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showing, "_MOST_SHOWN", 32)
    image = shown_images(*found)[0]
    hr = picture(int(image.row.key[-6:-4]))
    assert image.hr is not None
    assert np.array_equal(image.hr, hr[16:48, 16:48])
    assert image.lr.shape == (*image.consistency["bicubic"].values.shape, 3) == (8, 8, 3)
    assert image.sr["sampler"].shape == (32, 32, 3)


def test_an_image_that_is_gone_is_left_out(
    found: tuple[OpenEvaluation, EvaluationResult], caplog: pytest.LogCaptureFixture
) -> None:
    evaluation, result = found
    worst = shown_images(evaluation, result)[0]
    path = Path(evaluation.task.datasets[0].sources[0]) / worst.row.key
    data = path.read_bytes()
    path.unlink()
    assert len(shown_images(evaluation, result)) == 3
    assert "is not shown" in caplog.text
    path.write_bytes(data)
