import functools
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipelines.loop.checkpoints import CheckpointStore
from pipelines.loop.context import Image, LocalContext, MetricSink
from pipelines.loop.loop import LoopInputs, LoopResult, TrainingLoop
from pipelines.loop.memory import out_of_memory
from pipelines.storage import open_store
from rssr.errors import OutOfMemory, TrainingDiverged
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
        self.shown: list[tuple[tuple[int, ...], int]] = []

    def put(self, metrics: Mapping[str, float], step: int) -> None:
        self.reported.append((dict(metrics), step))

    def put_image(self, name: str, image: Image, step: int) -> None:
        self.shown.append((image.shape, step))

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


def short(num_steps: int) -> Stream:
    """The first steps of the stream."""

    def batches(start_step: int) -> Iterator[Mapping[str, Any]]:
        return (batch for batch in Stream()(start_step) if batch["step"] < num_steps)

    return batches  # type: ignore[return-value]  # any callable is a source


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
    phase, _ = train(tmp_path, short(5), phase)
    assert all(torch.equal(value, before[name]) for name, value in phase.critic.state_dict().items())


class NanAt(ToyObjective):
    """Has no loss to speak of at some steps."""

    def __init__(self, steps: range) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        loss = super().forward(batch, step, carry)
        return Loss(loss.total * float("nan"), loss.terms, loss.carry) if step in self.steps else loss


def test_losses_that_are_no_numbers_stop_the_run_and_the_last_good_checkpoint_is_named(tmp_path: Path) -> None:
    phase = ToyPhase()
    phase.main = NanAt(range(6, 12))
    with pytest.raises(TrainingDiverged, match=r"step 9: loss/main is not finite; 4 bad steps") as raised:
        train(tmp_path, phase=phase)
    assert "step-00000004" in raised.value.remedy
    latest = CheckpointStore(open_store(str(tmp_path)), keep=2).load_latest()
    assert latest is not None
    assert latest.step == 4, "step 8 was in doubt"


def test_a_bad_step_changes_nothing_and_is_counted(tmp_path: Path) -> None:
    phase = ToyPhase()
    phase.main = NanAt(range(6, 8))
    after: dict[int, list[Tensor]] = {}

    def on_step(step: int, terms: Mapping[str, float]) -> None:
        after[step] = [value.detach().clone() for module in (phase.main, phase.critic) for value in module.parameters()]

    held_out = [Batch(torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8), 1.0)]
    checkpoints = CheckpointStore(open_store(str(tmp_path)), keep=2)
    inputs = LoopInputs(phase, Stream(), held_out, checkpoints, seed=11, on_step=on_step)
    result = TrainingLoop(inputs, LocalContext()).run()
    for step in range(6, 12):
        same = all(torch.equal(one, other) for one, other in zip(after[step - 1], after[step], strict=True))
        assert same == (step in (6, 7))
    assert [row.get("bad_steps") for row in result.history.losses] == [None, 2.0, None]
    assert result.num_steps == CONFIG.num_steps


def test_each_validation_shows_a_picture(tmp_path: Path) -> None:
    sink = Sink()
    train(tmp_path, sink=sink)
    assert sink.shown == [((8, 4 * 8 + 3 * 4, 3), 6), ((8, 4 * 8 + 3 * 4, 3), 12)]


def test_a_notice_that_the_machine_goes_is_answered_by_one_checkpoint_at_once(tmp_path: Path) -> None:
    class Leaving(LocalContext):
        def is_due_to_end(self, elapsed_s: float) -> bool:
            return True

    held_out = [Batch(torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8), 1.0)]
    checkpoints = CheckpointStore(open_store(str(tmp_path)), keep=20)
    with pytest.raises(KeyboardInterrupt):
        TrainingLoop(LoopInputs(ToyPhase(), Stream(dies_at=3), held_out, checkpoints, seed=11), Leaving()).run()
    assert [entry.step for entry in checkpoints.kept()] == [1]


def test_compiled_networks_learn_what_others_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Traced and differentiated, but not translated to C++, for which machines may lack a compiler.
    lightly = functools.partialmethod(nn.Module.compile, backend="aot_eager")
    monkeypatch.setattr(nn.Module, "compile", lightly)
    plain, _ = train(tmp_path / "a", phase=ToyPhase(CONFIG.model_copy(update={"num_steps": 2})), stream=short(2))
    phase = ToyPhase(CONFIG.model_copy(update={"num_steps": 2, "compile": True}))
    compiled, _ = train(tmp_path / "b", phase=phase, stream=short(2))
    for name, value in compiled.critic.state_dict().items():
        assert torch.allclose(value, plain.critic.state_dict()[name], atol=1e-4)
    assert phase.main._compiled_call_impl is not None


def test_the_average_follows_the_network(tmp_path: Path) -> None:
    phase, _ = train(tmp_path)
    weight, average = phase.main.net[0].weight.detach(), phase.average[0].weight.detach()  # type: ignore[union-attr]  # both are convolutions
    start = ToyPhase().main.net[0].weight
    assert isinstance(weight, Tensor)
    assert isinstance(average, Tensor)
    assert not torch.equal(average, weight)
    assert float((average - weight).norm()) < float((start - weight).norm())


def test_a_step_that_does_not_fit_on_each_of_several_is_told_in_the_words_of_the_job(tmp_path: Path) -> None:
    told = out_of_memory("toy", CONFIG.model_copy(update={"batch_size": 2}), counts=8)
    assert "batch_size=16 does not fit" in told.problem
    assert "toy.batch_size=8 toy.micro_batches_per_step=4" in told.remedy


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"batch_size": 8}, "toy.batch_size=4 toy.micro_batches_per_step=4: .* toy.precision=bfloat16"),
        ({"batch_size": 9, "precision": "bfloat16"}, "toy.batch_size=3 toy.micro_batches_per_step=6: .* at once.$"),
        ({"batch_size": 1, "precision": "bfloat16"}, "smaller toy.patch_size or toy.parallelism=shards"),
    ],
)
def test_a_step_that_does_not_fit_tells_which_batch_size_to_try(
    tmp_path: Path, settings: dict[str, Any], advice: str
) -> None:
    class Hungry(ToyObjective):
        def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
            raise torch.OutOfMemoryError("CUDA out of memory")

    phase = ToyPhase(CONFIG.model_copy(update=settings))
    phase.main = Hungry()
    with pytest.raises(OutOfMemory, match=advice):
        train(tmp_path, phase=phase)
