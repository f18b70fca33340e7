from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rssr.errors import ConfigError
from rssr.scenes import SCENE_KINDS, write_scene_dataset


def test_layout_is_a_folder_a_class(tmp_path: Path) -> None:
    paths = write_scene_dataset(tmp_path, seed=1, num_scenes=7, size=40)
    assert sorted(tmp_path.rglob("*.*")) == sorted(paths)
    assert paths[0] == tmp_path / SCENE_KINDS[0] / f"{SCENE_KINDS[0]}_001.png"
    assert paths[5].name == f"{SCENE_KINDS[0]}_002.png"
    with Image.open(paths[3]) as picture:
        assert picture.mode == "RGB"
        assert picture.size == (40, 40)


def test_bytes_are_the_same_every_time(tmp_path: Path) -> None:
    first = write_scene_dataset(tmp_path / "a", seed=1, num_scenes=5, size=48)
    second = write_scene_dataset(tmp_path / "b", seed=1, num_scenes=5, size=48)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_asking_for_more_scenes_keeps_the_earlier_ones(tmp_path: Path) -> None:
    few = write_scene_dataset(tmp_path / "a", seed=9, num_scenes=3, size=32)
    many = write_scene_dataset(tmp_path / "b", seed=9, num_scenes=8, size=32)
    assert [path.read_bytes() for path in few] == [path.read_bytes() for path in many[:3]]


def test_seed_changes_every_scene(tmp_path: Path) -> None:
    for one, other in zip(
        write_scene_dataset(tmp_path / "a", seed=1, num_scenes=5, size=32),
        write_scene_dataset(tmp_path / "b", seed=2, num_scenes=5, size=32),
        strict=True,
    ):
        assert (np.asarray(Image.open(one)) != np.asarray(Image.open(other))).any()


def test_dataset_without_kinds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="empty"):
        write_scene_dataset(tmp_path, seed=1, num_scenes=1, size=8, kinds=())
