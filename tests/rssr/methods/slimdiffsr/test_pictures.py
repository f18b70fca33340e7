from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rssr.methods.figures import HeldOutImage, Illustrated
from rssr.methods.phase import Batch, PhaseInputs
from rssr.methods.slimdiffsr.method import SlimDiffSRMethod

CPU = torch.device("cpu")
TITLES = ["Teacher uncertainty and timesteps", "Teacher features", "Attention of the learned queries"]


@pytest.fixture(scope="module")
def student_folder(
    folders: dict[str, Path], make_method: Callable[..., SlimDiffSRMethod], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What a phase `student` exports that has not learnt anything yet."""
    folder = tmp_path_factory.mktemp("student")
    torch.manual_seed(0)
    make_method().build_phase("student", PhaseInputs(folders, CPU)).export(folder)
    return folder


@pytest.fixture
def images(batch: Batch) -> list[HeldOutImage]:
    return [HeldOutImage("a.png", Batch(batch.lr[:1], batch.hr[:1], batch.scale))]


def titles(method: Any, folders: dict[str, Path], images: list[HeldOutImage]) -> list[str]:
    return [figure.title for figure in method.draw_figures(PhaseInputs(folders, CPU), images)]


def test_the_method_offers_figures(make_method: Callable[..., SlimDiffSRMethod]) -> None:
    assert isinstance(make_method(), Illustrated)


def test_figures_are_of_the_phases_that_are_finished(
    make_method: Callable[..., SlimDiffSRMethod],
    folders: dict[str, Path],
    student_folder: Path,
    images: list[HeldOutImage],
) -> None:
    method = make_method()
    folders = {name: folders[name] for name in ("base", "uncertainty", "teacher")}
    assert titles(method, {**folders, "student": student_folder}, images) == TITLES
    assert titles(method, folders, images) == TITLES[:2]
    assert titles(method, {"base": folders["base"], "student": student_folder}, images) == TITLES[2:]
    assert titles(method, {"base": folders["base"]}, images) == []


def test_figures_of_the_same_run_are_equal(
    make_method: Callable[..., SlimDiffSRMethod], folders: dict[str, Path], images: list[HeldOutImage]
) -> None:
    first, second = (make_method().draw_figures(PhaseInputs(folders, CPU), images) for _ in range(2))
    assert [row.label for figure in first for row in figure.rows] == [r.label for figure in second for r in figure.rows]
