"""Held-out patches of a phase: those that every validation measures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.datasets import DataConfig, build_manifest
from pipelines.train import TrainTask
from pipelines.train.streams import held_out_batches
from rssr.images import encode_png
from rssr.methods.phase import Batch, Objective, Phase
from rssr.methods.training import TrainingConfig
from rssr.seeds import numpy_generator


class Measured(Phase):
    """Has nothing but the settings that patches are cut by."""

    name = "measured"
    config = TrainingConfig(num_steps=1, batch_size=4, patch_size=32, learning_rate=1.0)

    def objectives(self) -> Mapping[str, Objective]:
        raise NotImplementedError

    def validate(self, batch: Batch) -> dict[str, float]:
        raise NotImplementedError

    def preview(self, batch: Batch) -> Tensor:
        raise NotImplementedError

    def export(self, folder: Path) -> None:
        raise NotImplementedError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number in range(9):
        pixels = numpy_generator("image", number).integers(0, 256, (65 + 2 * number, 71, 3)).astype(np.uint8)
        (folder / f"{number}.png").write_bytes(encode_png(pixels))
    return folder


def batches(folder: Path, scale: Any, num_held_out: int = 8) -> list[Batch]:
    data = DataConfig.model_validate({"uri": str(folder), "scale": scale, "degradation": "bicubic", "num_test": 5})
    task = TrainTask(
        method="",
        method_values={},
        phase="measured",
        digests={},
        home_uri="",
        manifest_key="",
        data_values={},
        seed=3,
        workers=(0, 0),
        num_threads=1,
        num_held_out=num_held_out,
        tracking_uri=None,
        run_id=None,
    )
    return held_out_batches(task, Measured(), data, build_manifest([str(folder)], data, seed=0))


def test_a_fixed_scale_has_all_patches_in_batches_of_the_training_size(folder: Path) -> None:
    made = batches(folder, 4)
    assert [batch.scale for batch in made] == [4.0, 4.0]
    assert all(tuple(batch.hr.shape) == (4, 3, 32, 32) for batch in made)
    assert all(tuple(batch.lr.shape) == (4, 3, 8, 8) for batch in made)


def test_a_range_is_represented_by_the_same_places_at_each_of_a_few_scales(folder: Path) -> None:
    made = batches(folder, [1, 4], num_held_out=9)
    assert [batch.scale for batch in made] == [2.0, 3.4, 4.0]
    assert [tuple(batch.lr.shape) for batch in made] == [(3, 3, int(32 / s), int(32 / s)) for s in (2.0, 3.4, 4.0)]
    assert all(torch.equal(batch.hr, made[0].hr) for batch in made)


def test_every_scale_of_a_range_has_a_patch_however_few_are_asked_for(folder: Path) -> None:
    made = batches(folder, [1, 8], num_held_out=1)
    assert [(batch.scale, len(batch.hr)) for batch in made] == [(2.0, 1), (3.4, 1), (4.0, 1), (8.0, 1)]


def test_at_scale_one_lr_is_as_large_as_hr(folder: Path) -> None:
    for batch in batches(folder, 1):
        assert batch.lr.shape == batch.hr.shape
        assert torch.equal(batch.lr, batch.hr), "bicubic degradation to the same size changes nothing"
