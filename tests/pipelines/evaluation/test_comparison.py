import hashlib
import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.datasets.manifest import ImageRecord
from pipelines.evaluation.comparison import (
    Evaluation,
    EvaluationSpec,
    Pixels,
    Upscaler,
    WithHr,
    constant_colour,
    evaluate,
    prepare_pair,
    upscaler_along,
    upscaler_of,
)
from pipelines.stages.measure import Measure
from rssr.degradation import degradation_preset
from rssr.errors import DataError
from rssr.images import decode_image, encode_png
from rssr.methods.paths import ImagePath
from rssr.models.loaded import load_model
from rssr.scenes import generate_scene

SCALES = [1.0, 2.0, 2.5, 3.0, 3.3, 3.4, 4.0, 7.9, 8.0]


def spec(
    scale: float = 4.0, *, seed: int = 0, max_side: int = 64, border: int = 4, kind: str = "slimdiffsr"
) -> EvaluationSpec:
    return EvaluationSpec(scale, degradation_preset(kind), seed, max_side, border)


@pytest.fixture
def add_image(tmp_path: Path) -> Callable[..., ImageRecord]:
    """Write a held-out image below `tmp_path` and describe it as the manifest does."""

    def add(key: str, pixels: Pixels | None = None) -> ImageRecord:
        if pixels is None:
            pixels = generate_scene(len(key), 75, 66, gsd_m=0.6)
        data = encode_png(pixels)
        (tmp_path / key).write_bytes(data)
        height, width = pixels.shape[:2]
        return ImageRecord(key, 0, "test", None, width, height, len(data), hashlib.sha256(data).hexdigest())

    return add


def run(images: list[ImageRecord], folder: Path, upscalers: dict[str, Upscaler], chosen: EvaluationSpec) -> Evaluation:
    return evaluate(images, [str(folder)], upscalers, chosen)


def spy(seen: list[bytes]) -> Upscaler:
    """A model that remembers what it was shown."""

    def upscale(lr: Pixels, size: tuple[int, int]) -> Pixels:
        seen.append(lr.tobytes())
        return constant_colour(lr, size)

    return upscale


def test_several_draws_are_averaged_and_the_first_is_the_only_one_of_before(
    add_image: Callable[..., ImageRecord], tmp_path: Path
) -> None:
    images = [add_image("a.png"), add_image("bb.png")]
    seen: list[bytes] = []
    bicubic = {"bicubic": upscaler_of(load_model("bicubic"), 4.0), "spy": spy(seen)}
    once = run(images, tmp_path, bicubic, spec())
    first = list(seen)
    thrice = run(images, tmp_path, bicubic, replace(spec(), num_draws=3))
    assert seen[2:][::3] == first
    assert len(set(seen[2:])) == 6
    apart = [
        prepare_pair(image.key, decode_image((tmp_path / image.key).read_bytes(), "").pixels, spec(), draw)
        for image in images
        for draw in range(3)
    ]
    values = [Measure(4)({"sr": bicubic["bicubic"](pair.lr, pair.hr.shape[:2]), "hr": pair.hr}) for pair in apart]
    expected = np.mean([value["psnr_y_db"] for value in values])
    assert thrice.means()["bicubic"]["psnr_y_db"] == pytest.approx(expected)
    assert [row.keys() for row in thrice.rows] == [row.keys() for row in once.rows]
    assert [row["key"] for row in thrice.rows] == [row["key"] for row in once.rows]


def test_every_model_and_every_run_sees_the_same_lr_images(
    tmp_path: Path, add_image: Callable[..., ImageRecord]
) -> None:
    images = [add_image(f"{name}.png") for name in ("a", "bb", "ccc")]
    one: list[bytes] = []
    other: list[bytes] = []
    again: list[bytes] = []
    run(images, tmp_path, {"one": spy(one), "other": spy(other)}, spec())
    run(images[::-1], tmp_path, {"one": spy(again)}, spec())
    assert one == other == again[::-1]
    assert len(set(one)) == 3


def test_a_model_cannot_change_what_the_next_one_sees(tmp_path: Path, add_image: Callable[..., ImageRecord]) -> None:
    def vandal(lr: Pixels, size: tuple[int, int]) -> Pixels:
        sr = constant_colour(lr, size)
        lr[:] = 0
        return sr

    seen: list[bytes] = []
    alone: list[bytes] = []
    images = [add_image("a.png")]
    run(images, tmp_path, {"vandal": vandal, "spy": spy(seen)}, spec())
    run(images, tmp_path, {"spy": spy(alone)}, spec())
    assert seen == alone


def test_another_seed_or_key_degrades_otherwise() -> None:
    pixels = generate_scene(3, 64, 64)
    lr = [prepare_pair(key, pixels, spec(seed=seed)).lr for key, seed in (("a", 0), ("a", 1), ("b", 0))]
    assert not np.array_equal(lr[0], lr[1])
    assert not np.array_equal(lr[0], lr[2])
    assert np.array_equal(lr[0], prepare_pair("a", pixels, spec()).lr)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("side", [16, 31, 33, 50, 63, 64, 65, 101])
def test_the_crop_is_exactly_what_a_model_returns(scale: float, side: int) -> None:
    pixels = np.random.default_rng(side).integers(0, 256, (side, 2 * side + 1, 3), dtype=np.uint8)
    chosen = spec(scale, kind="bicubic")
    pair = prepare_pair("a", pixels, chosen)
    size = pair.hr.shape[:2]
    sr = upscaler_of(load_model("bicubic"), scale)(pair.lr, (size[0], size[1]))
    assert sr.shape == pair.hr.shape
    assert sr.dtype == np.uint8
    for kept, whole in zip(size, pixels.shape[:2], strict=True):
        assert kept <= min(whole, chosen.max_side)
        assert kept > min(whole, chosen.max_side) - 4 * scale, "no more is cut than needed"


def test_the_crop_lies_in_the_middle_and_keeps_its_pixels() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (103, 80, 3), dtype=np.uint8)
    pair = prepare_pair("a", pixels, spec(4.0, max_side=64))
    assert np.array_equal(pair.hr, pixels[19:83, 8:72])
    assert pair.lr.shape == (16, 16, 3)


def test_lr_and_hr_show_the_same_ground() -> None:
    pixels = generate_scene(5, 90, 90, gsd_m=0.5)
    pair = prepare_pair("a", pixels, spec(3.3, kind="bicubic", max_side=90))
    sr = upscaler_of(load_model("bicubic"), 3.3)(pair.lr, (pair.hr.shape[0], pair.hr.shape[1]))
    errors = {
        shift: np.abs(np.roll(sr, shift, (0, 1))[8:-8, 8:-8].astype(float) - pair.hr[8:-8, 8:-8]).mean()
        for shift in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
    }
    assert min(errors, key=lambda shift: errors[shift]) == (0, 0)


def test_images_too_small_to_measure_are_left_out_with_a_warning(
    tmp_path: Path, add_image: Callable[..., ImageRecord], caplog: pytest.LogCaptureFixture
) -> None:
    images = [
        add_image("tiny.png", generate_scene(1, 18, 60)),
        add_image("pixel.png", generate_scene(1, 1, 1)),
        add_image("good.png", generate_scene(1, 60, 60)),
    ]
    counts: list[int] = []
    evaluation = evaluate(images, [str(tmp_path)], {"constant": constant_colour}, spec(), on_image=counts.append)
    assert counts == [1, 2, 3]
    assert [row["key"] for row in evaluation.rows] == ["good.png"]
    assert [example.key for example in evaluation.examples] == ["good.png"]
    assert all(name in caplog.text for name in ("tiny.png", "pixel.png"))


def test_without_any_image_large_enough_there_is_an_error(
    tmp_path: Path, add_image: Callable[..., ImageRecord]
) -> None:
    with pytest.raises(DataError, match="large enough"):
        run([add_image("tiny.png", generate_scene(1, 12, 12))], tmp_path, {"constant": constant_colour}, spec())


def test_a_model_that_returns_another_size_is_our_fault() -> None:
    lr = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(RuntimeError, match="bicubic made"):
        upscaler_of(load_model("bicubic"), 4)(lr, (15, 16))


def test_a_further_path_gets_both_images_and_the_scale(tmp_path: Path, add_image: Callable[..., ImageRecord]) -> None:
    seen: list[tuple[tuple[int, ...], tuple[int, ...], float]] = []

    def run_path(lr: Pixels, hr: Pixels, scale: float) -> Pixels:
        seen.append((lr.shape, hr.shape, scale))
        perfect = hr.copy()
        hr[:] = 0
        return perfect

    path = ImagePath("HR itself", "no super-resolution", run_path)
    upscalers: dict[str, Upscaler | WithHr] = {"path": upscaler_along(path, 3.4), "constant": constant_colour}
    evaluation = evaluate([add_image("a.png")], [str(tmp_path)], upscalers, spec(3.4))
    [(lr_shape, hr_shape, scale)] = seen
    assert scale == 3.4
    assert hr_shape == evaluation.examples[0].hr.shape
    assert lr_shape == evaluation.examples[0].lr.shape
    assert [row["psnr_y_db"] for row in evaluation.rows if row["model"] == "path"] == [math.inf]
    assert evaluation.means()["constant"]["psnr_y_db"] < 40, "it cannot change what the next one is measured by"


def test_a_further_path_that_returns_another_size_is_our_fault() -> None:
    path = ImagePath("LR itself", "", lambda lr, hr, scale: lr)
    with pytest.raises(RuntimeError, match="LR itself made"):
        upscaler_along(path, 4.0).run(np.zeros((4, 4, 3), np.uint8), np.zeros((16, 16, 3), np.uint8))


def test_constant_colour_is_the_mean_of_the_lr_image() -> None:
    lr = np.array([[[0, 10, 255], [1, 11, 255]], [[1, 12, 255], [1, 13, 255]]], dtype=np.uint8)
    sr = constant_colour(lr, (3, 5))
    assert sr.shape == (3, 5, 3)
    assert sr.dtype == np.uint8
    assert np.all(sr == [1, 12, 255])
    sr[0, 0] = 7  # a picture of its own
    assert sr[0, 1].tolist() == [1, 12, 255]


def test_rows_hold_every_model_on_every_image_and_examples_are_few_and_spread(
    tmp_path: Path, add_image: Callable[..., ImageRecord]
) -> None:
    images = [add_image(f"{number}{'x' * number}.png") for number in range(6)]
    upscalers = {"constant": constant_colour, "bicubic": upscaler_of(load_model("bicubic"), 4.0)}
    counts: list[int] = []
    evaluation = evaluate(images, [str(tmp_path)], upscalers, spec(), on_image=counts.append)
    assert counts == [1, 2, 3, 4, 5, 6]
    assert [(row["key"], row["model"]) for row in evaluation.rows] == [
        (image.key, model) for image in images for model in upscalers
    ]
    assert [example.key for example in evaluation.examples] == [images[number].key for number in (0, 2, 3, 5)]
    assert all(set(example.sr) == set(upscalers) for example in evaluation.examples)
    means = evaluation.means()
    assert list(means) == ["constant", "bicubic"]
    assert means["bicubic"]["psnr_y_db"] > means["constant"]["psnr_y_db"] + 2


def test_means_are_over_the_images_of_each_model() -> None:
    rows: list[dict[str, float | str]] = [
        {"key": "a", "model": "m", "scale": 4.0, "psnr_y_db": 20.0, "ssim_y": 0.5},
        {"key": "a", "model": "n", "scale": 4.0, "psnr_y_db": 1.0, "ssim_y": 0.0},
        {"key": "b", "model": "m", "scale": 4.0, "psnr_y_db": 30.0, "ssim_y": 0.75},
    ]
    assert Evaluation(rows).means() == {
        "m": {"psnr_y_db": 25.0, "ssim_y": 0.625},
        "n": {"psnr_y_db": 1.0, "ssim_y": 0.0},
    }
    assert Evaluation().means() == {}


def test_scales_are_measured_apart_and_never_averaged_over(
    tmp_path: Path, add_image: Callable[..., ImageRecord]
) -> None:
    images = [add_image("a.png"), add_image("bb.png")]
    evaluation = Evaluation()
    for scale in (3.4, 2.0):
        models = {"constant": constant_colour, "bicubic": upscaler_of(load_model("bicubic"), scale)}
        evaluation.add(run(images, tmp_path, models, spec(scale, kind="bicubic")))
    assert evaluation.scales == (2.0, 3.4)
    assert evaluation.means(2.0)["bicubic"]["psnr_y_db"] > evaluation.means(3.4)["bicubic"]["psnr_y_db"]
    assert evaluation.labelled_means() == {
        "constant/x2": evaluation.means(2.0)["constant"],
        "bicubic/x2": evaluation.means(2.0)["bicubic"],
        "constant/x3.4": evaluation.means(3.4)["constant"],
        "bicubic/x3.4": evaluation.means(3.4)["bicubic"],
    }
    assert [(example.key, example.scale) for example in evaluation.examples] == [
        ("a.png", 3.4), ("bb.png", 3.4), ("a.png", 2.0), ("bb.png", 2.0)
    ]  # fmt: skip
    assert {row["scale"] for row in evaluation.rows if row["key"] == "a.png"} == {2.0, 3.4}


def test_one_scale_needs_no_label(tmp_path: Path, add_image: Callable[..., ImageRecord]) -> None:
    evaluation = run([add_image("a.png")], tmp_path, {"constant": constant_colour}, spec())
    assert evaluation.labelled_means() == evaluation.means() == evaluation.means(4.0)


def test_at_scale_one_bicubic_returns_what_it_got(tmp_path: Path, add_image: Callable[..., ImageRecord]) -> None:
    image = add_image("odd.png", generate_scene(3, 61, 47))
    models = {"bicubic": upscaler_of(load_model("bicubic"), 1.0)}
    evaluation = run([image], tmp_path, models, spec(1.0, kind="bicubic"))
    assert evaluation.examples[0].hr.shape == evaluation.examples[0].lr.shape == (61, 47, 3)
    assert evaluation.rows[0]["psnr_y_db"] == math.inf


def test_an_image_without_any_error_does_not_make_the_mean_infinite(
    tmp_path: Path, add_image: Callable[..., ImageRecord]
) -> None:
    images = [add_image("black.png", np.zeros((60, 60, 3), np.uint8)), add_image("a.png")]
    evaluation = run(images, tmp_path, {"constant": constant_colour}, spec(kind="bicubic"))
    assert evaluation.rows[0]["psnr_y_db"] == math.inf
    finite = float(evaluation.rows[1]["psnr_y_db"])
    assert evaluation.means()["constant"]["psnr_y_db"] == pytest.approx((100 + finite) / 2)


def test_rows_survive_parquet(tmp_path: Path, add_image: Callable[..., ImageRecord]) -> None:
    images = [add_image("ä ö.png"), add_image("black.png", np.zeros((60, 60, 3), np.uint8))]
    evaluation = run(images, tmp_path, {"constant": constant_colour}, spec(kind="bicubic"))
    assert pq.read_table(io.BytesIO(evaluation.to_parquet())).to_pylist() == evaluation.rows


def test_an_image_that_changed_since_the_manifest_is_refused(
    tmp_path: Path, add_image: Callable[..., ImageRecord]
) -> None:
    image = add_image("a.png")
    add_image("a.png", generate_scene(9, 75, 66))
    with pytest.raises(DataError, match="has changed"):
        run([image], tmp_path, {"constant": constant_colour}, spec())
