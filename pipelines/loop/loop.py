"""The training loop, the same for every phase of every method."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from pipelines.loop.batch_norm import synchronise_batch_norm
from pipelines.loop.batches import BatchSource, Share, group_by_step, split_into_shares
from pipelines.loop.checkpoints import Checkpoint, CheckpointStore, CheckpointWriter
from pipelines.loop.context import TrainContext
from pipelines.loop.divergence import DivergenceGuard
from pipelines.loop.history import History, as_reported
from pipelines.loop.memory import out_of_memory
from pipelines.loop.optimizers import build_optimizer, clip_gradients, set_learning_rate
from pipelines.loop.panels import panel_image
from pipelines.loop.parallel import Alone, Parallel, Replicas, Shards, fill, load_optimizer, whole
from rssr.methods.phase import Average, Batch, Objective, Phase
from rssr.seeds import derive_seed

log = logging.getLogger(__name__)

StepListener = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class LoopInputs:
    """What one run of the loop works on.

    Attributes:
        phase: Networks and losses.
        batches: Training stream.
        held_out: A few fixed held-out batches for validation.
        checkpoints: Where the run's state is kept.
        seed: Seed of the whole experiment.
        num_shares: Parts of `batch_size` samples that make up a micro-batch, dealt out to the processes.
        batch_size_counts: Processes whose samples the `batch_size` that was typed counts, for advice in its words.
        on_step: Called after every step with its loss terms, e.g. by a progress bar.
        bands: What the images' channels are, for panels.
    """

    phase: Phase
    batches: BatchSource
    held_out: Sequence[Batch]
    checkpoints: CheckpointStore
    seed: int
    num_shares: int = 1
    batch_size_counts: int = 1
    on_step: StepListener = field(default=lambda step, terms: None)
    bands: Sequence[str] = ("red", "green", "blue")


@dataclass(frozen=True)
class LoopResult:
    """How a run ended.

    Attributes:
        num_steps: Optimizer steps done in all, earlier runs included.
        validation: Metrics of the last validation.
        history: Logged losses and validations.
    """

    num_steps: int
    validation: dict[str, float]
    history: History


class TrainingLoop:
    """Runs a phase to its last step, from wherever the last whole checkpoint stands."""

    def __init__(self, inputs: LoopInputs, context: TrainContext) -> None:
        self._inputs = inputs
        self._context = context
        self._phase = inputs.phase
        self._config = inputs.phase.config
        self._objectives: Mapping[str, Objective] = inputs.phase.objectives()
        self._averages: Sequence[Average] = inputs.phase.averages()
        self._parallel = self._parallelise()
        self._optimizers = {name: build_optimizer(o, self._config) for name, o in self._objectives.items()}
        self._writer = CheckpointWriter(inputs.checkpoints)
        self._guard = DivergenceGuard(
            inputs.phase.name,
            self._config.divergence_patience,
            self._config.max_loss_growth,
            lambda: self._writer.last_uri,
        )
        self._history = History()
        self._step = 0
        self._started_s = time.perf_counter()
        self._elapsed_s = 0.0  # since then, equal on all processes
        self._told_of_end = False

    def run(self) -> LoopResult:
        """Train, validate, checkpoint and report until the configured number of steps is done."""
        self._resume()
        if self._step < self._config.num_steps:
            with self._writer:
                self._train()
        return LoopResult(self._step, self._history.last_validation(), self._history)

    def _train(self) -> None:
        for step, micro_batches in self._steps():
            try:
                terms = self._train_step(step, micro_batches)
            except torch.OutOfMemoryError as error:
                raise out_of_memory(self._phase.name, self._config, self._inputs.batch_size_counts) from error
            self._record(step, terms)
            if self._is_due(self._config.validate_every_n_steps):
                self._validate()
            if self._is_due(self._config.checkpoint_every_n_steps):
                self._save()
            self._save_before_the_end()

    def _parallelise(self) -> Parallel:
        if self._config.compile:
            for network in self._phase.networks().values():
                network.compile()
        if self._context.world_size == 1:
            return Alone(self._objectives)
        for objective in self._objectives.values():
            synchronise_batch_norm(objective)
        if self._config.parallelism == "shards":
            return Shards(self._objectives, self._context.device, self._context.world_size)
        return Replicas(self._objectives)

    def _steps(self) -> Iterator[tuple[int, list[Mapping[str, Any]]]]:
        stream = self._inputs.batches(self._step)
        return group_by_step(_timed(stream, self._history), self._config.micro_batches_per_step)

    def _train_step(self, step: int, micro_batches: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        for objective in self._objectives.values():
            objective.train()
        active = [name for name in self._objectives if step in self._active_steps(name)]
        for name in active:
            set_learning_rate(self._optimizers[name], self._learning_rate(name, step))
            self._optimizers[name].zero_grad(set_to_none=True)
        terms = self._agree(self._accumulate(step, micro_batches, active))
        for name in active:
            terms[f"gradient_norm/{name}"] = clip_gradients(self._trained(name), self._config.max_gradient_norm)
        if self._guard.is_good(step, terms):
            of_losses = {name.removeprefix("term/"): terms[name] for name in terms if name.startswith("term/")}
            for name in active:
                self._optimizers[name].step()
                self._objectives[name].finish_step(of_losses)
            for average in self._averages:
                _update_average(average, step + 1)
        self._step = step + 1
        return terms

    def _accumulate(
        self, step: int, micro_batches: Sequence[Mapping[str, Any]], active: Sequence[str]
    ) -> dict[str, Tensor]:
        """Gradients and terms of a step's samples; backward passes divide so that the mean over processes is right."""
        context, num_shares = self._context, self._inputs.num_shares
        totals: dict[str, Tensor] = {}
        for number, arrays in enumerate(micro_batches):
            for share in split_into_shares(arrays, context.device, num_shares, context.rank, context.world_size):
                self._seed(step, number, share.number)
                weight = share.counts * context.world_size / (num_shares * len(micro_batches))
                last = number == len(micro_batches) - 1 and share.is_last
                for name, value in self._backward(share, step, active, weight, last).items():
                    totals[name] = totals.get(name, torch.zeros((), dtype=torch.float64)) + value
        return totals

    def _backward(self, share: Share, step: int, active: Sequence[str], weight: float, last: bool) -> dict[str, Tensor]:
        carry: dict[str, Tensor] = {}
        terms: dict[str, Tensor] = {}
        for name in active:
            with self._parallel.accumulating(name, last):
                with self._autocast():
                    loss = self._parallel.loss(name, share.batch, step, carry)
                torch.autograd.backward(loss.total * weight)
            carry.update(loss.carry)
            terms[f"loss/{name}"] = loss.total.detach().cpu() * weight
            terms.update({f"term/{term}": value.cpu() * weight for term, value in loss.terms.items()})
        return terms

    def _agree(self, totals: Mapping[str, Tensor]) -> dict[str, float]:
        """Terms as means over all processes, which decide alike from here on."""
        names = sorted(totals)
        values = [float(totals[name]) for name in names]
        *values, self._elapsed_s = self._context.mean([*values, time.perf_counter() - self._started_s])
        means = dict(zip(names, values, strict=True))
        return {name: means[name] for name in totals}

    def _record(self, step: int, terms: Mapping[str, float]) -> None:
        self._inputs.on_step(step, terms)
        if self._guard.in_doubt:
            log.warning("phase %s: step %d is bad and changes nothing: %s", self._phase.name, step, dict(terms))
        self._history.add(terms, is_good=not self._guard.in_doubt)
        if (step + 1) % self._config.log_every_n_steps == 0 or self._step == self._config.num_steps:
            samples = self._config.batch_size * self._config.micro_batches_per_step * self._inputs.num_shares
            metrics = self._history.log(self._step, samples)
            active = [name for name in self._objectives if step in self._active_steps(name)]
            metrics |= {f"learning_rate/{name}": self._learning_rate(name, step) for name in active}
            self._context.report(metrics, self._step)

    @torch.no_grad()
    def _validate(self) -> None:
        for objective in self._objectives.values():
            objective.eval()
        self._seed(self._step, -1, 0)
        totals: dict[str, float] = {}
        held_out = self._inputs.held_out
        with self._parallel.assembled():
            for batch in held_out:
                for name, value in self._phase.validate(batch.to(self._context.device)).items():
                    totals[name] = totals.get(name, 0.0) + value / len(held_out)
            image = panel_image(self._phase, held_out, self._context.device, self._inputs.bands)
        self._history.add_validation(self._step, totals)
        self._context.report({f"validation/{name}": value for name, value in totals.items()}, self._step)
        if self._context.rank == 0:
            self._context.show(image, self._step)

    def _save_before_the_end(self) -> None:
        """Where this process or its machine is to be taken away, keep what there is while there is time."""
        if not self._told_of_end and self._context.is_due_to_end(self._elapsed_s):
            self._told_of_end = True
            log.warning(
                "phase %s is to end; step %d is kept, where the same command goes on", self._phase.name, self._step
            )
            self._save()
            self._writer.wait()
            self._context.end_if_told()

    def _save(self) -> None:
        if self._guard.in_doubt and self._step < self._config.num_steps:
            return
        # Every process takes part in putting sharded tensors together; one writes.
        tensors = {name: whole(objective.trained_state()) for name, objective in self._objectives.items()}
        for number, average in enumerate(self._averages):
            tensors[f"average-{number}"] = whole(dict(average.target.state_dict()))
        optimizers = {name: whole(optimizer.state_dict()) for name, optimizer in self._optimizers.items()}
        self._require_agreement(tensors)
        if self._context.rank == 0:
            progress = {"history": self._history.to_json(), "guard": self._guard.to_json()}
            metrics = self._history.validation_at(self._step)
            self._writer.put(Checkpoint(self._step, tensors, optimizers, progress, metrics))

    def _require_agreement(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        """A checkpoint is one process's: what differs between processes could not be resumed."""
        own = [float(value.detach().double().sum()) for group in tensors.values() for value in group.values()]
        names = [f"{group}/{name}" for group, values in tensors.items() for name in values]
        for name, value, mean in zip(names, own, self._context.mean(own), strict=True):
            if math.isfinite(mean) and abs(value - mean) > 1e-9 * max(1.0, abs(mean)):
                raise RuntimeError(f"{name} of phase {self._phase.name} differs between processes at step {self._step}")

    def _resume(self) -> None:
        checkpoint = self._inputs.checkpoints.load_latest()
        found = checkpoint.step if checkpoint is not None else -1
        if self._context.agree(found) != found:
            raise RuntimeError("training processes see different checkpoints; is the output location shared?")
        if checkpoint is None:
            return
        for name, objective in self._objectives.items():
            _load_exactly(objective, checkpoint.tensors[name])
            load_optimizer(self._optimizers[name], checkpoint.optimizers[name])
        for number, average in enumerate(self._averages):
            with torch.no_grad():
                for name, value in average.target.state_dict().items():
                    fill(value, checkpoint.tensors[f"average-{number}"][name])
        self._history = History.from_json(checkpoint.progress["history"])
        self._guard.restore(checkpoint.progress["guard"])
        self._step = checkpoint.step
        for metrics, step in as_reported(self._history.losses, self._history.validations):
            self._context.report(metrics, step)  # a killed process may not have delivered it; sinks know what they hold
        log.info("phase %s goes on after step %d", self._phase.name, self._step)

    def _trained(self, name: str) -> list[nn.Parameter]:
        return list(self._objectives[name].trained_parameters().values())

    def _active_steps(self, name: str) -> range:
        return self._objectives[name].active_steps(self._config.num_steps)

    def _learning_rate(self, name: str, step: int) -> float:
        steps = self._active_steps(name)
        return self._config.learning_rate_at(step - steps.start, len(steps))

    def _is_due(self, interval: int) -> bool:
        return self._step % interval == 0 or self._step == self._config.num_steps

    def _seed(self, step: int, micro_batch: int, share: int) -> None:
        # Random draws inside losses depend on what they are for, not on what was drawn before: no state to save, and
        # a share draws alike wherever it is computed.
        torch.manual_seed(derive_seed(self._inputs.seed, self._phase.name, step, micro_batch, share))

    def _autocast(self) -> torch.autocast:
        enabled = self._config.precision == "bfloat16"
        return torch.autocast(self._context.device.type, dtype=torch.bfloat16, enabled=enabled)


def _timed(stream: Iterator[Mapping[str, Any]], history: History) -> Iterator[Mapping[str, Any]]:
    while True:
        start = time.perf_counter()
        try:
            arrays = next(stream)
        except StopIteration:
            return
        history.add_wait(time.perf_counter() - start)
        yield arrays


@torch.no_grad()
def _update_average(average: Average, num_updates: int) -> None:
    decay = min(average.max_decay, (1 + num_updates) / (10 + num_updates))
    source = average.source.state_dict()
    for name, value in average.target.state_dict().items():
        # An average that a loss uses is sharded like its source; one that is only kept is whole.
        newest = source[name] if isinstance(value, DTensor) else whole(source[name])
        if value.dtype.is_floating_point:
            value.lerp_(newest.to(value.dtype), 1 - decay)
        else:
            value.copy_(newest)


def _load_exactly(objective: Objective, tensors: Mapping[str, Tensor]) -> None:
    own = objective.trained_state()
    if own.keys() != tensors.keys():
        raise RuntimeError(f"checkpoint and network differ: {sorted(own.keys() ^ tensors.keys())[:5]}")
    with torch.no_grad():
        for name, value in tensors.items():
            fill(own[name], value)
