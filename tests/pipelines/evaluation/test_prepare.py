from pathlib import Path

import numpy as np
import pytest

from pipelines.evaluation.prepare import PrepareImage, border_of, fitted_pair
from pipelines.evaluation.task import ImageJob
from rssr.degradation import degradation_preset
from rssr.errors import DataError, ImageError
from rssr.images import decode_image, encode_png
from rssr.tiling import output_size
from tests.pipelines.evaluation.small import dataset_of, picture, records_of, task_of, write_images


def test_hr_images_are_cropped_around_their_centre_and_degraded_by_seed_and_name(tmp_path: Path) -> None:
    write_images(tmp_path, 2, (67, 65))
    first = PrepareImage(task_of([dataset_of(tmp_path)]))(ImageJob(0, 4.0, 0))
    whole = decode_image((tmp_path / first.key).read_bytes(), "").pixels
    assert first.whole_size == (67, 65)
    assert first.size == (64, 64)
    assert np.array_equal(first.hr, whole[1:65, 0:64])
    assert first.lr.shape == (16, 16, 3)
    assert first.io_seconds > 0


def test_an_lr_image_depends_on_seed_and_key_alone(tmp_path: Path) -> None:
    write_images(tmp_path, 2)

    def lr(seed: int, kind: str) -> np.ndarray:
        task = task_of([dataset_of(tmp_path)], degradation=degradation_preset(kind), seed=seed)
        return PrepareImage(task)(ImageJob(0, 4.0, 1)).lr

    assert np.array_equal(lr(1, "slimdiffsr"), lr(1, "slimdiffsr"))
    assert not np.array_equal(lr(1, "slimdiffsr"), lr(2, "slimdiffsr"))


def test_lr_images_alone_are_enlarged_and_have_no_hr(tmp_path: Path) -> None:
    write_images(tmp_path, 1, (30, 20))
    task = task_of([dataset_of(tmp_path, has_hr=False, max_side=64)])
    image = PrepareImage(task)(ImageJob(0, 4.0, 0))
    assert image.hr is None
    assert image.lr.shape == (16, 16, 3)
    assert image.size == (64, 64)
    assert image.whole_size == (120, 80)


def test_pairs_are_read_as_they_are(tmp_path: Path) -> None:
    hr = write_images(tmp_path / "hr", 2)
    lr_folder = tmp_path / "lr"
    lr_folder.mkdir()
    for number in range(2):
        (lr_folder / f"{number}.png").write_bytes(encode_png(picture(9 + number, 16, 16)))
    dataset = dataset_of(hr, lr_images=records_of(lr_folder), lr_sources=(str(lr_folder),))
    image = PrepareImage(task_of([dataset]))(ImageJob(0, 4.0, 1))
    assert np.array_equal(image.lr, picture(10, 16, 16))
    assert image.hr is not None
    assert image.hr.shape == (64, 64, 3)


def test_a_pair_of_another_ratio_is_refused_with_both_sizes() -> None:
    with pytest.raises(ImageError, match=r"a\.png: the HR image has 64 x 64 pixels, its LR image 20 x 16"):
        fitted_pair("a.png", picture(0, 20, 16), picture(0, 64, 64), 4.0)


@pytest.mark.parametrize(("scale", "lr_size"), [(4.0, (40, 24)), (3.4, (50, 45)), (2.5, (21, 60))])
def test_cropped_pairs_keep_the_same_ground(scale: float, lr_size: tuple[int, int]) -> None:
    hr_size = output_size(lr_size, scale)
    rows, columns = np.indices(hr_size)
    hr = np.stack([rows / scale, columns / scale, rows * 0.0], axis=-1).astype(np.float32)
    lr_rows, lr_columns = np.indices(lr_size)
    lr = np.stack([lr_rows, lr_columns, lr_rows * 0], axis=-1).astype(np.float32)
    cut_lr, cut_hr = fitted_pair("a", lr, hr, scale, 64)
    assert max(cut_hr.shape[:2]) <= 64
    assert output_size(cut_lr.shape[:2], scale) == cut_hr.shape[:2]
    assert np.allclose(cut_hr[0, 0], cut_lr[0, 0])  # each begins where the other does
    assert cut_hr[-1, -1, 0] < cut_lr[-1, -1, 0] + 1


def test_an_image_that_leaves_nothing_to_measure_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path, 1, (20, 18))
    with pytest.raises(ImageError, match=r"too small to be measured: 20 x 18 pixels .* border of 4"):
        PrepareImage(task_of([dataset_of(tmp_path)]))(ImageJob(0, 4.0, 0))


def test_an_image_that_has_changed_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path, 1)
    prepare = PrepareImage(task_of([dataset_of(tmp_path)]))
    (tmp_path / "class0/image_00.png").write_bytes(encode_png(picture(5)))
    with pytest.raises(DataError, match="has changed"):
        prepare(ImageJob(0, 4.0, 0))


def test_borders_are_the_scale_rounded_up_or_a_number() -> None:
    assert [border_of("scale", scale) for scale in (2.0, 3.4, 8.0)] == [2, 4, 8]
    assert border_of(0, 8.0) == 0
