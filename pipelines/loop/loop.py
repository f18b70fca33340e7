"""The training loop, the same for every phase of every method."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pipelines.loop.batches import BatchSource, group_by_step, to_batch
from pipelines.loop.checkpoints import Checkpoint, CheckpointStore
from pipelines.loop.context import TrainContext
from pipelines.loop.history import History, as_reported
from pipelines.loop.optimizers import build_optimizer, clip_gradients, set_learning_rate
from rssr.errors import TrainingDiverged
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
        on_step: Called after every step with its loss terms, e.g. by a progress bar.
    """

    phase: Phase
    batches: BatchSource
    held_out: Sequence[Batch]
    checkpoints: CheckpointStore
    seed: int
    on_step: StepListener = field(default=lambda step, terms: None)


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
        self._optimizers = {name: build_optimizer(o, self._config) for name, o in self._objectives.items()}
        self._history = History()
        self._step = 0

    def run(self) -> LoopResult:
        """Train, validate, checkpoint and report until the configured number of steps is done."""
        self._resume()
        if self._step < self._config.num_steps:
            for step, micro_batches in self._steps():
                terms = self._train_step(step, micro_batches)
                self._record(step, terms)
                if self._is_due(self._config.validate_every_n_steps):
                    self._validate()
                if self._is_due(self._config.checkpoint_every_n_steps):
                    self._save()
        return LoopResult(self._step, self._history.last_validation(), self._history)

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
        totals: dict[str, Tensor] = {}
        for number, arrays in enumerate(micro_batches):
            self._seed(step, number)
            batch = to_batch(arrays, self._context.device)
            for name, value in self._backward(batch, step, active, len(micro_batches)).items():
                totals[name] = totals.get(name, torch.zeros(())) + value
        terms = {name: float(value) for name, value in totals.items()}
        self._refuse_non_finite(step, terms)
        for name in active:
            terms[f"gradient_norm/{name}"] = self._update(name)
        for average in self._averages:
            _update_average(average, step + 1)
        self._step = step + 1
        return terms

    def _backward(self, batch: Batch, step: int, active: Sequence[str], num_micro_batches: int) -> dict[str, Tensor]:
        carry: dict[str, Tensor] = {}
        terms: dict[str, Tensor] = {}
        for name in active:
            with self._autocast():
                loss = self._objectives[name](batch, step, carry)
            (loss.total / num_micro_batches).backward()
            carry.update(loss.carry)
            terms[f"loss/{name}"] = loss.total.detach().cpu() / num_micro_batches
            terms.update({f"term/{term}": value.cpu() / num_micro_batches for term, value in loss.terms.items()})
        return terms

    def _update(self, name: str) -> float:
        parameters = list(self._objectives[name].trained_parameters().values())
        self._context.average_gradients(parameters)
        norm = clip_gradients(parameters, self._config.max_gradient_norm)
        self._optimizers[name].step()
        return norm

    def _record(self, step: int, terms: Mapping[str, float]) -> None:
        self._inputs.on_step(step, terms)
        self._history.add(terms)
        if (step + 1) % self._config.log_every_n_steps == 0 or self._step == self._config.num_steps:
            samples = self._config.batch_size * self._config.micro_batches_per_step * self._context.world_size
            metrics = self._history.log(self._step, samples)
            active = [name for name in self._objectives if step in self._active_steps(name)]
            metrics |= {f"learning_rate/{name}": self._learning_rate(name, step) for name in active}
            self._context.report(metrics, self._step)

    @torch.no_grad()
    def _validate(self) -> None:
        for objective in self._objectives.values():
            objective.eval()
        self._seed(self._step, -1)
        totals: dict[str, float] = {}
        for batch in self._inputs.held_out:
            for name, value in self._phase.validate(batch.to(self._context.device)).items():
                totals[name] = totals.get(name, 0.0) + value / len(self._inputs.held_out)
        self._history.add_validation(self._step, totals)
        self._context.report({f"validation/{name}": value for name, value in totals.items()}, self._step)

    def _save(self) -> None:
        if self._context.rank != 0:
            return
        tensors = {name: objective.trained_state() for name, objective in self._objectives.items()}
        for number, average in enumerate(self._averages):
            tensors[f"average-{number}"] = dict(average.target.state_dict())
        optimizers = {name: optimizer.state_dict() for name, optimizer in self._optimizers.items()}
        self._inputs.checkpoints.save(Checkpoint(self._step, tensors, optimizers, self._history.to_json()))

    def _resume(self) -> None:
        checkpoint = self._inputs.checkpoints.load_latest()
        found = checkpoint.step if checkpoint is not None else -1
        if self._context.agree(found) != found:
            raise RuntimeError("training processes see different checkpoints; is the output location shared?")
        if checkpoint is None:
            return
        for name, objective in self._objectives.items():
            _load_exactly(objective, checkpoint.tensors[name])
            self._optimizers[name].load_state_dict(checkpoint.optimizers[name])
        for number, average in enumerate(self._averages):
            average.target.load_state_dict(checkpoint.tensors[f"average-{number}"])
        self._history = History.from_json(checkpoint.progress)
        self._step = checkpoint.step
        for metrics, step in as_reported(self._history.losses, self._history.validations):
            self._context.report(metrics, step)  # a killed process may not have delivered it; sinks know what they hold
        log.info("phase %s goes on after step %d", self._phase.name, self._step)

    def _active_steps(self, name: str) -> range:
        return self._objectives[name].active_steps(self._config.num_steps)

    def _learning_rate(self, name: str, step: int) -> float:
        steps = self._active_steps(name)
        return self._config.learning_rate_at(step - steps.start, len(steps))

    def _is_due(self, interval: int) -> bool:
        return self._step % interval == 0 or self._step == self._config.num_steps

    def _seed(self, step: int, micro_batch: int) -> None:
        # Random draws inside losses depend on what they are for, not on what was drawn before: no state to save.
        torch.manual_seed(derive_seed(self._inputs.seed, self._phase.name, step, micro_batch, self._context.rank))

    def _autocast(self) -> torch.autocast:
        enabled = self._config.precision == "bfloat16"
        return torch.autocast(self._context.device.type, dtype=torch.bfloat16, enabled=enabled)

    def _refuse_non_finite(self, step: int, terms: Mapping[str, float]) -> None:
        bad = [name for name, value in terms.items() if not math.isfinite(value)]
        if bad:
            raise TrainingDiverged(
                f"Phase {self._phase.name}, step {step}: {', '.join(bad)} is not finite.",
                "Lower the learning rate; the last good checkpoint is kept and is where a rerun goes on.",
            )


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
        if value.dtype.is_floating_point:
            value.lerp_(source[name].to(value), 1 - decay)
        else:
            value.copy_(source[name])


def _load_exactly(objective: Objective, tensors: Mapping[str, Tensor]) -> None:
    own = objective.trained_state()
    if own.keys() != tensors.keys():
        raise RuntimeError(f"checkpoint and network differ: {sorted(own.keys() ^ tensors.keys())[:5]}")
    with torch.no_grad():
        for name, value in tensors.items():
            own[name].copy_(value)
