"""How long a phase takes on some number of GPUs, and what it would gain most from having twice as much of."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pipelines.estimate.training.work import PhaseWork
from pipelines.stream import MAX_ACTORS

RESOURCES = {
    "arithmetic": "flops_per_s",
    "network": "network_bytes_per_s",
    "links": "link_bytes_per_s",
    "cores": "cores",
    "store": "store_bytes_per_s",
    "memory": "memory_bytes",
}
"""What may be the limit, and the attribute of `Machines` that says how much of it there is."""


@dataclass(frozen=True)
class Machines:
    """GPUs and what is around them.

    Attributes:
        flops_per_s: Floating-point operations a second that one GPU sustains.
        memory_bytes: Of one GPU, for tensors.
        gpus_a_machine: GPUs of one machine.
        cores: CPU cores beside each GPU.
        held_cores: Of them, what a training worker reserves.
        link_bytes_per_s: Between GPUs of a machine.
        network_bytes_per_s: Between machines.
        hidden_share: Share of a micro-batch's arithmetic during which gradients travel already.
        store_bytes_per_s: What the store gives all together.
        pairs_per_core_s: Image pairs that a CPU core makes a second.
        pair_side: Side of these pairs' HR patches, pixels; larger ones take as much longer as they have more pixels.
        image_bytes: Bytes that are read for a pair.
    """

    flops_per_s: float
    memory_bytes: float
    gpus_a_machine: int
    cores: float
    held_cores: float
    link_bytes_per_s: float
    network_bytes_per_s: float
    hidden_share: float
    store_bytes_per_s: float
    pairs_per_core_s: float
    pair_side: int
    image_bytes: float

    def doubled(self, resource: str) -> "Machines":
        """With twice as much of one of `RESOURCES`."""
        name = RESOURCES[resource]
        changes: dict[str, float] = {name: 2 * getattr(self, name)}
        return replace(self, **changes)  # type: ignore[arg-type]  # none of them is a whole number

    def gradient_bytes_per_s(self, num_gpus: int) -> float:
        """What a ring over some GPUs is passed at: between machines, by the slower of both."""
        if num_gpus <= self.gpus_a_machine:
            return self.link_bytes_per_s
        return min(self.link_bytes_per_s, self.network_bytes_per_s)


@dataclass(frozen=True)
class PhaseTime:
    """A phase on some number of GPUs.

    Attributes:
        num_used: GPUs that compute; a step of few pairs has none for the others.
        num_steps: Optimizer steps.
        pairs: Pairs of a step on the GPU that has most.
        micro_batch: Of these, how many at a time.
        memory_bytes: Memory that this takes.
        data_cores: CPU cores that make pairs for each GPU that computes.
        arithmetic_s: Seconds of a step in which a GPU computes.
        gradients_s: Seconds in which gradients travel.
        exposed_s: Of these, how many come on top of the arithmetic.
        making_s: Seconds in which a GPU's cores make its pairs.
        reading_s: Seconds in which the store gives images and takes its part of a checkpoint.
    """

    num_used: int
    num_steps: int
    pairs: int
    micro_batch: int
    memory_bytes: float
    data_cores: int
    arithmetic_s: float
    gradients_s: float
    exposed_s: float
    making_s: float
    reading_s: float

    @property
    def step_s(self) -> float:
        """Seconds of a step: pairs are made and read while the GPUs compute."""
        return max(self.arithmetic_s + self.exposed_s, self.making_s, self.reading_s)

    @property
    def longest(self) -> str:
        """What a step waits for."""
        ends = {"arithmetic": self.arithmetic_s + self.exposed_s, "cores": self.making_s, "store": self.reading_s}
        return max(ends, key=lambda name: ends[name])

    @property
    def seconds(self) -> float:
        """Of all steps."""
        return self.num_steps * self.step_s


def largest_micro_batch(work: PhaseWork, memory_bytes: float) -> int:
    """Pairs that a GPU can compute at a time, those of a whole step at most; 0 where not even one fits."""
    room = memory_bytes - work.memory_bytes(0)
    if room >= work.pairs * work.pair_bytes:
        return work.pairs if room >= 0 else 0
    return max(0, math.floor(room / work.pair_bytes))


def phase_time(work: PhaseWork, machines: Machines, num_gpus: int, pairs_each: int | None = None) -> PhaseTime:
    """The fastest that a phase goes on some GPUs, all of which need not be used.

    Args:
        work: The phase; a pair of it fits into memory.
        machines: The GPUs.
        num_gpus: How many there are.
        pairs_each: Pairs of each GPU in a step, where more GPUs make larger steps; None keeps those of the phase.
    """
    times = [_with(work, machines, num_gpus, used, pairs_each) for used in _candidates(work, num_gpus, pairs_each)]
    return min(times, key=lambda time: (time.seconds, time.num_used))


def limit_of(work: PhaseWork, machines: Machines, num_gpus: int, pairs_each: int | None = None) -> str:
    """Which of `RESOURCES` would save most time if there were twice as much of it.

    Args:
        work: The phase.
        machines: The GPUs.
        num_gpus: How many there are.
        pairs_each: As of `phase_time`.
    """
    longest = phase_time(work, machines, num_gpus, pairs_each).longest  # decides where nothing would save any
    times = {name: phase_time(work, machines.doubled(name), num_gpus, pairs_each).seconds for name in RESOURCES}
    return min(times, key=lambda name: (times[name], name != longest))


def first_other_limit(
    work: PhaseWork, machines: Machines, most_gpus: int, pairs_each: int | None = None
) -> tuple[int, str] | None:
    """The fewest GPUs, of powers of two, with which something else than their arithmetic is the limit, and what.

    Args:
        work: The phase.
        machines: The GPUs.
        most_gpus: How many are looked at.
        pairs_each: As of `phase_time`.
    """
    most = most_gpus if pairs_each is not None else min(most_gpus, work.pairs)
    for number in (2**exponent for exponent in range(most.bit_length())):
        limit = limit_of(work, machines, number, pairs_each)
        if limit != "arithmetic":
            return number, limit
    return None


def _candidates(work: PhaseWork, num_gpus: int, pairs_each: int | None) -> Iterator[int]:
    """All GPUs, half of them and so on, so that twice as many GPUs always leave the choice that fewer had."""
    most = work.pairs if pairs_each is None else num_gpus
    for exponent in range(num_gpus.bit_length() + 1):
        yield min(most, math.ceil(num_gpus / 2**exponent))


def _with(work: PhaseWork, machines: Machines, num_gpus: int, used: int, pairs_each: int | None) -> PhaseTime:
    pairs = math.ceil(work.pairs / used) if pairs_each is None else pairs_each
    all_pairs = work.pairs if pairs_each is None else pairs * used
    num_steps = work.num_steps if pairs_each is None else math.ceil(work.num_steps * work.pairs / all_pairs)
    count = math.ceil(pairs / min(pairs, largest_micro_batch(work, machines.memory_bytes)))
    micro_batch = math.ceil(pairs / count)
    arithmetic_s = work.flops_a_pair * pairs / machines.flops_per_s
    sent_bytes = 2 * (used - 1) / used * work.gradient_bytes  # by each GPU of a ring
    gradients_s = sent_bytes / machines.gradient_bytes_per_s(used)
    hidden_s = machines.hidden_share * arithmetic_s * micro_batch / pairs  # gradients travel in the last one alone
    free = machines.cores * num_gpus / used - machines.held_cores
    data_cores = min(MAX_ACTORS, max(1, math.floor(free)))
    pairs_per_s = data_cores * machines.pairs_per_core_s / max(1.0, (work.patch_size / machines.pair_side) ** 2)
    stored_bytes = all_pairs * machines.image_bytes + work.checkpoint_bytes / work.checkpoint_every_n_steps
    return PhaseTime(
        num_used=used,
        num_steps=num_steps,
        pairs=pairs,
        micro_batch=micro_batch,
        memory_bytes=work.memory_bytes(micro_batch),
        data_cores=data_cores,
        arithmetic_s=arithmetic_s,
        gradients_s=gradients_s,
        exposed_s=max(0.0, gradients_s - hidden_s),
        making_s=pairs / pairs_per_s,
        reading_s=stored_bytes / machines.store_bytes_per_s,
    )
