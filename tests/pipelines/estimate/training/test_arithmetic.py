"""Counts of a small phase against what a hand finds."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pipelines.estimate.training.arithmetic import checkpoint_bytes, count_flops
from rssr.methods.phase import Average, Batch, Loss, Objective, Phase
from rssr.methods.training import TrainingConfig

SIDE, PAIRS, STEPS = 32, 3, 10
CONV = 2 * SIDE * SIDE * 3 * 3 * 25  # a 5 x 5 convolution of three channels, a multiply-accumulate being two
TRAINED = 2 * (3 * 3 * 25 + 3)


class TwoConvolutions(Objective):
    """Two trained convolutions behind one that is frozen, over some first steps."""

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        self.num_steps = num_steps
        self.frozen = nn.Conv2d(3, 3, 5, padding=2).requires_grad_(False)
        self.first, self.second = (nn.Conv2d(3, 3, 5, padding=2) for _ in range(2))

    def active_steps(self, num_steps: int) -> range:
        return range(self.num_steps)

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        with torch.no_grad():
            seen = self.frozen(batch.hr)
        return Loss(self.second(self.first(seen)).abs().mean(), {})


class Attention(Objective):
    """Attention of 16 positions of 8 values to each other, of queries alone."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.zeros(1, 1, 16, 8))

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        queries = self.queries.expand(len(batch.hr), -1, -1, -1)
        keys = torch.zeros_like(queries).detach()
        return Loss(nn.functional.scaled_dot_product_attention(queries, keys, keys).mean(), {})


class SmallPhase(Phase):
    name = "small"

    def __init__(self, **objectives: Objective) -> None:
        self.config = TrainingConfig(num_steps=STEPS, batch_size=PAIRS, patch_size=SIDE, learning_rate=1e-3)
        self._objectives = objectives
        self._averages: list[Average] = []

    def objectives(self) -> Mapping[str, Objective]:
        return self._objectives

    def averages(self) -> list[Average]:
        return self._averages

    def preview(self, batch: Batch) -> Tensor:
        return batch.hr

    def export(self, folder: Path) -> None:
        raise NotImplementedError


def small_phase(num_steps: int = STEPS) -> SmallPhase:
    with torch.device("meta"):
        return SmallPhase(both=TwoConvolutions(num_steps))


def test_forward_and_backward_passes_are_counted_and_frozen_parts_once() -> None:
    # Forward thrice; weights' gradients of two; the gradient of what the second one saw.
    assert count_flops(small_phase(), (4, 4), 3) == 6 * CONV


def test_a_loss_of_some_steps_counts_as_often_as_it_is_computed() -> None:
    assert count_flops(small_phase(num_steps=4), (4, 4), 3) == pytest.approx(6 * CONV * 4 / STEPS)


def test_losses_that_run_side_by_side_add_up() -> None:
    with torch.device("meta"):
        phase = SmallPhase(one=TwoConvolutions(4), two=TwoConvolutions(STEPS))
    assert count_flops(phase, (4, 4), 3) == pytest.approx(6 * CONV * (1 + 4 / STEPS))


def test_attention_is_counted() -> None:
    with torch.device("meta"):
        phase = SmallPhase(attention=Attention())
    product = 2 * 16 * 16 * 8
    # Scores and values forward; backward the gradients of scores and of queries. Keys and values are not trained.
    assert count_flops(phase, (4, 4), 3) == 4 * product


def test_a_checkpoint_holds_what_is_trained_and_its_moments() -> None:
    assert checkpoint_bytes(small_phase()) == 3 * 4 * TRAINED


def test_a_checkpoint_holds_averages() -> None:
    phase = small_phase()
    with torch.device("meta"):
        source, target = nn.Linear(4, 4), nn.Linear(4, 4)
    phase._averages.append(Average(source, target, 0.999))
    assert checkpoint_bytes(phase) == 3 * 4 * TRAINED + 4 * 20
