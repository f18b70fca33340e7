import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipelines.loop.checkpoints import CheckpointStore
from pipelines.loop.context import LocalContext, MetricSink
from pipelines.loop.loop import LoopInputs, LoopResult, TrainingLoop
from pipelines.storage import open_store
from rssr.errors import TrainingDiverged
from rssr.methods.phase import Average, Batch, Loss, Objective, Phase
from rssr.methods.training import TrainingConfig

CONFIG = TrainingConfig(
    num_steps=12,
    batch_size=2,
    patch_size=16,
    learning_rate=1e-2,
    micro_batches_per_step=2,
    log_every_n_steps=5,
    validate_every_n_steps=6,
    checkpoint_every_n_steps=4,
)


class ToyObjective(Objective):
    """Learns HR from LR with dropout and noise, so that any lost random state would show."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Dropout(0.3), nn.Conv2d(6, 3, 1))

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        sr = self.net(batch.lr + 0.1 * torch.randn_like(batch.lr))
        loss = (sr - batch.hr).abs().mean()
        return Loss(loss, {"l1": loss.detach()}, {"sr": sr.detach()})


class ToyCritic(Objective):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Conv2d(3, 1, 1)

    def active_steps(self, num_steps: int) -> range:
        return range(5, num_steps)

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        loss = (self.net(carry["sr"]) - self.net(batch.hr)).square().mean() + self.net.weight.square().sum()
        return Loss(loss, {"critic": loss.detach()})


class ToyPhase(Phase):
    name = "toy"

    def __init__(self, config: TrainingConfig = CONFIG) -> None:
        torch.manual_seed(3)
        self.config = config
        self.main, self.critic = ToyObjective(), ToyCritic()
        self.average = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Dropout(0.3), nn.Conv2d(6, 3, 1)
        ).requires_grad_(False)

    def objectives(self) -> Mapping[str, Objective]:
        return {"main": self.main, "critic": self.critic}

    def averages(self) -> list[Average]:
        return [Average(self.main.net, self.average, 0.99)]

    def validate(self, batch: Batch) -> dict[str, float]:
        return {"error": float((self.preview(batch) - batch.hr).abs().mean())}

    def preview(self, batch: Batch) -> Tensor:
        image: Tensor = self.main.net(batch.lr)
        return image

    def export(self, folder: Path) -> None:
        (folder / "nothing").write_text("")


class Stream:
    """Batches that depend on (step, micro_batch) only; can die at a step like a killed process."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.dies_at = dies_at

    def __call__(self, start_step: int) -> Iterator[Mapping[str, Any]]:
        for step in range(start_step, CONFIG.num_steps):
            if step == self.dies_at:
                raise KeyboardInterrupt
            for micro in range(CONFIG.micro_batches_per_step):
                rng = np.random.default_rng((step, micro))
                images = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
                yield {"lr": images, "hr": images[:, ::-1], "scale": 1.0, "step": step, "micro_batch": micro}


class Sink:
    """Remembers what was reported."""

    def __init__(self) -> None:
        self.reported: list[tuple[dict[str, float], int]] = []

    def put(self, metrics: Mapping[str, float], step: int) -> None:
        self.reported.append((dict(metrics), step))

    def steps(self, name: str) -> list[int]:
        return [step for metrics, step in self.reported if name in metrics]


def train(
    folder: Path, stream: Stream | None = None, phase: ToyPhase | None = None, sink: MetricSink | None = None
) -> tuple[ToyPhase, LoopResult]:
    phase = phase or ToyPhase()
    held_out = [Batch(torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8), 1.0)]
    checkpoints = CheckpointStore(open_store(str(folder)), keep=2)
    inputs = LoopInputs(phase, stream or Stream(), held_out, checkpoints, seed=11)
    return phase, TrainingLoop(inputs, LocalContext(sink)).run()


def fingerprint(phase: ToyPhase) -> str:
    digest = hashlib.sha256()
    for module in (phase.main, phase.critic, phase.average):
        for name, value in sorted(module.state_dict().items()):
            digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("dies_at", [1, 4, 6, 11])
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path: Path, dies_at: int) -> None:
    undisturbed, expected = train(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b", Stream(dies_at))
    resumed, result = train(tmp_path / "b")
    assert fingerprint(resumed) == fingerprint(undisturbed)
    assert result.history.losses == expected.history.losses
    assert result.history.validations == expected.history.validations


def test_a_resumed_run_reports_again_what_a_killed_process_may_not_have_delivered(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Stream(dies_at=6))
    sink = Sink()
    _, result = train(tmp_path, sink=sink)
    assert sink.steps("loss/main") == [int(row["step"]) for row in result.history.losses]
    assert sink.steps("validation/error") == [int(row["step"]) for row in result.history.validations]


def test_a_damaged_newest_checkpoint_is_passed_over(tmp_path: Path) -> None:
    undisturbed, _ = train(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b", Stream(9))
    newest = tmp_path / "b" / "step-00000008" / "main.safetensors"
    newest.write_bytes(newest.read_bytes()[:-10])
    resumed, _ = train(tmp_path / "b")
    assert fingerprint(resumed) == fingerprint(undisturbed)


@pytest.mark.parametrize("lost", ["index.json", "progress.json", "main.optimizer.pt"])
def test_a_checkpoint_without_one_of_its_files_is_passed_over(tmp_path: Path, lost: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Stream(9))
    (tmp_path / "step-00000008" / lost).unlink()
    latest = CheckpointStore(open_store(str(tmp_path)), keep=2).load_latest()
    assert latest is not None
    assert latest.step == 4


def test_a_finished_run_trains_no_further_step(tmp_path: Path) -> None:
    finished, _ = train(tmp_path)
    again, result = train(tmp_path, Stream(dies_at=0))
    assert fingerprint(again) == fingerprint(finished)
    assert result.num_steps == CONFIG.num_steps
    assert result.validation == result.history.last_validation() != {}


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    train(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000008", "step-00000012"]


def test_an_inactive_objective_is_not_trained(tmp_path: Path) -> None:
    phase = ToyPhase(CONFIG.model_copy(update={"num_steps": 5}))
    before = {name: value.clone() for name, value in phase.critic.state_dict().items()}
    stream = Stream()
    phase, _ = train(tmp_path, lambda start: (b for b in stream(start) if b["step"] < 5), phase)  # type: ignore[arg-type]  # any callable is a source
    assert all(torch.equal(value, before[name]) for name, value in phase.critic.state_dict().items())


def test_a_loss_that_is_not_a_number_stops_the_run_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    class Exploding(ToyObjective):
        def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
            loss = super().forward(batch, step, carry)
            return Loss(loss.total * float("nan"), loss.terms, loss.carry) if step == 6 else loss

    phase = ToyPhase()
    phase.main = Exploding()
    with pytest.raises(TrainingDiverged, match=r"step 6: loss/main"):
        train(tmp_path, phase=phase)
    latest = CheckpointStore(open_store(str(tmp_path)), keep=2).load_latest()
    assert latest is not None
    assert latest.step == 4


def test_the_average_follows_the_network(tmp_path: Path) -> None:
    phase, _ = train(tmp_path)
    weight, average = phase.main.net[0].weight, phase.average[0].weight  # type: ignore[union-attr]  # both are convolutions
    start = ToyPhase().main.net[0].weight
    assert isinstance(weight, Tensor)
    assert isinstance(average, Tensor)
    assert not torch.equal(average, weight)
    assert float((average - weight).norm()) < float((start - weight).norm())
