from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from rssr.inference import super_resolve
from rssr.methods.phase import Batch, PhaseInputs
from rssr.methods.slimdiffsr.method import SlimDiffSRMethod
from rssr.methods.slimdiffsr.teacher import Teacher
from rssr.models.loaded import LoadedModel
from rssr.resampling import upsample_bicubic

CPU = torch.device("cpu")


@pytest.fixture
def teacher(make_method: Callable[..., SlimDiffSRMethod], folders: Mapping[str, Path]) -> LoadedModel:
    return make_method().open_teacher(PhaseInputs(folders, CPU))


def test_the_exported_teacher_super_resolves_from_lr_alone(teacher: LoadedModel, batch: Batch) -> None:
    network = teacher.network
    assert isinstance(network, Teacher)
    with torch.no_grad():
        expected = network(upsample_bicubic(batch.lr, (64, 64))).sr
    assert torch.equal(teacher.resolver(batch.lr, (64, 64)), expected)


def test_any_size_works(teacher: LoadedModel) -> None:
    assert teacher.resolver(torch.zeros(2, 3, 5, 9), (21, 33)).shape == (2, 3, 21, 33)
    pixels = np.full((3, 20, 15), 90, np.uint8)
    assert super_resolve(pixels, teacher, 4).shape == (3, 80, 60)
