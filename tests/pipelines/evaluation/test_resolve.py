import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.evaluation import resolve as resolving
from pipelines.evaluation.prepare import PreparedImage
from pipelines.evaluation.resolve import ResolveImage, nearest
from pipelines.evaluation.task import ImageJob, Place, RunnableDataset, RunnableMethod
from rssr.images import encode_jpeg, encode_png
from rssr.inference import super_resolve
from rssr.methods.slimdiffsr.inference import official_inference
from rssr.metrics.reliability import ReliabilityTally
from rssr.models.loaded import load_model
from tests.pipelines.evaluation.small import (
    BICUBIC,
    NEAREST,
    dataset_of,
    picture,
    prepared,
    save_sampler,
    save_student,
    task_of,
    write_images,
)

EMPTY = RunnableDataset("small", (), (), (4.0,))


@pytest.fixture
def image() -> PreparedImage:
    return prepared(picture(1))


def model_method(folder: Path, **values: object) -> RunnableMethod:
    return replace(RunnableMethod("model", "model", (4.0,), folder=str(folder)), **values)  # type: ignore[arg-type]


def test_nearest_repeats_lr_pixels() -> None:
    lr = picture(0, 5, 3)
    assert np.array_equal(nearest(lr, (20, 12)), lr.repeat(4, axis=0).repeat(4, axis=1))
    assert nearest(lr, (17, 11)).shape == (17, 11, 3)


def test_bicubic_is_the_model_of_that_name_and_is_timed(image: PreparedImage) -> None:
    made = ResolveImage(task_of([EMPTY]))(image, BICUBIC)
    assert np.array_equal(made.sr, np.moveaxis(super_resolve(np.moveaxis(image.lr, -1, 0), "bicubic", 4.0), 0, -1))
    assert 0 < made.seconds < 60
    assert made.peak_bytes is not None
    assert "core" in made.machine
    assert made.tally == b""


def test_what_a_method_stumbles_over_is_its_own_failure(image: PreparedImage, tmp_path: Path) -> None:
    resolve = ResolveImage(task_of([EMPTY]))
    gone = resolve(image, model_method(tmp_path / "gone"))
    assert gone.sr is None
    assert "gone" in gone.reason
    assert math.isnan(gone.seconds)
    odd = replace(image, size=(63, 64))  # no model makes this of the LR image
    broken = resolve(odd, BICUBIC)
    assert broken.sr is None
    assert broken.reason.startswith("RuntimeError: bicubic made (64, 64) pixels where (63, 64)")
    assert resolve(image, NEAREST).sr is not None


def test_samples_depend_on_seed_and_image_and_on_nothing_else(image: PreparedImage, tmp_path: Path) -> None:
    method = model_method(save_sampler(tmp_path / "model"))

    def sr(seed: int, shown: PreparedImage) -> np.ndarray:
        return ResolveImage(task_of([EMPTY], seed=seed)).sr_of(shown, method)

    first = sr(1, image)
    resolve = ResolveImage(task_of([EMPTY], seed=1))
    resolve(prepared(picture(2)), method)
    assert np.array_equal(resolve(image, method).sr, first)
    assert not np.array_equal(sr(2, image), first)
    assert not np.array_equal(sr(1, replace(image, key="other.png")), first)


def test_error_bars_are_tallied_against_errors(image: PreparedImage, tmp_path: Path) -> None:
    method = model_method(save_sampler(tmp_path / "model"))
    resolve = ResolveImage(task_of([EMPTY]))
    told = resolve.deviation_of(image, method)
    assert told is not None
    sr, deviation = told
    found = ReliabilityTally.from_bytes(resolve(image, method).tally).result()
    assert found.num_values == 64 * 64 * 3
    assert found.rmse == pytest.approx(float(np.sqrt(np.square(sr.astype(float) - image.hr).mean())), rel=1e-5)
    assert found.rms_deviation == pytest.approx(float(np.sqrt(np.square(deviation, dtype=float).mean())), rel=1e-5)
    assert ResolveImage(task_of([EMPTY])).deviation_of(image, BICUBIC) is None
    assert resolve(replace(image, hr=None), method).tally == b""


def test_a_published_student_runs_as_its_authors_run_it(
    image: PreparedImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_student(tmp_path / "model")
    method = model_method(folder, as_authors=True, color_match="authors")
    resolve = ResolveImage(task_of([EMPTY]))
    expected = official_inference(image.lr, load_model(folder).network, 4)
    assert np.array_equal(resolve.sr_of(image, method), expected)
    monkeypatch.setattr(resolving, "_MOST_WHOLE_PIXELS", 100)  # too large for one piece: tiles, and whole colours
    tiled = ResolveImage(task_of([EMPTY])).sr_of(image, method)
    assert not np.array_equal(tiled, expected)
    assert np.allclose(tiled.mean(axis=(0, 1)), image.lr.mean(axis=(0, 1)), atol=2.0)


@pytest.fixture
def made_elsewhere(tmp_path: Path) -> Callable[[bytes | str], tuple[ResolveImage, RunnableMethod]]:
    """A method whose only image has this content, or is missing for this reason."""
    images = write_images(tmp_path / "hr", 1)

    def make(content: bytes | str) -> tuple[ResolveImage, RunnableMethod]:
        place: Place | str = content if isinstance(content, str) else Place(str(tmp_path / "sr"), "a.png", "1")
        if isinstance(content, bytes):
            (tmp_path / "sr").mkdir()
            (tmp_path / "sr/a.png").write_bytes(content)
        dataset = dataset_of(images, made={("theirs", 4.0): [place]})
        return ResolveImage(task_of([dataset])), RunnableMethod("theirs", "images", (4.0,))

    return make


def test_images_made_elsewhere_are_cropped_as_hr_images_are(
    made_elsewhere: Callable[[bytes], tuple[ResolveImage, RunnableMethod]],
) -> None:
    whole = picture(3, 67, 65)
    image = replace(prepared(whole[1:65, :64]), whole_size=(67, 65))
    resolve, method = made_elsewhere(encode_png(whole))
    made = resolve(image, method)
    assert np.array_equal(made.sr, image.hr)
    assert math.isnan(made.seconds)
    assert made.peak_bytes is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (encode_png(picture(3, 64, 60)), "has 64 x 60 pixels instead of 64 x 64"),
        (encode_jpeg(picture(3)), "is JPEG"),
        (b"no picture", "not a picture"),
        ("There is none.", "There is none."),
    ],
)
def test_images_made_elsewhere_that_cannot_be_taken_say_why(
    made_elsewhere: Callable[[bytes | str], tuple[ResolveImage, RunnableMethod]],
    image: PreparedImage,
    content: bytes | str,
    reason: str,
) -> None:
    resolve, method = made_elsewhere(content)
    made = resolve(image, method)
    assert made.sr is None
    assert reason in made.reason
    assert image.job == ImageJob(0, 4.0, 0)
