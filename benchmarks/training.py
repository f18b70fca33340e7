"""What the training loop costs: under Ray Train with one worker beside a bare PyTorch loop, and two workers beside one.

All train LDCSR's autoencoder as the photographs' quickstart has it, on the same batches, which lie decoded in memory:
eight crops of 68 x 68 pixels a worker and step, one thread a worker. The bare loop is forward, backward, clipping and
the optimizer: what any loop must do. Compared are samples a second. Every run has processes of its own; the first steps
of each are left out. Runs alternate; medians.

Run: python benchmarks/training.py [--rounds 5] [--steps 60]
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch

if not __package__:  # started as a file, perhaps where rssr is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import describe_machine, markdown_table
from pipelines.entry import find_preset
from pipelines.gauges import TrainingGauges
from pipelines.loop.batches import shares_of_process, to_batch
from pipelines.loop.checkpoints import CheckpointStore
from pipelines.loop.loop import LoopInputs, TrainingLoop
from pipelines.loop.optimizers import build_optimizer, clip_gradients
from pipelines.storage import open_store
from pipelines.train.worker import RayTrainContext
from rssr.allocator import keep_freed_memory
from rssr.methods import build_method
from rssr.methods.ldcsr.config import LDCSRConfig
from rssr.methods.phase import Phase, PhaseInputs
from rssr.plain_yaml import read_yaml

_SIDE, _SCALE, _BATCH = 68, 4, 8
_NUM_BATCHES = 8  # that lie in memory, taken in turn
_LEFT_OUT = 10  # first steps, while memory is asked for
_KINDS = ("bare", "Ray Train, 1 worker", "Ray Train, 2 workers")


def main() -> None:
    """Measure and print."""
    options = _parse()
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, object_store_memory=200 * 2**20)
    rates: dict[str, list[tuple[float, float]]] = {kind: [] for kind in _KINDS}
    for number in range(options.rounds):
        for kind in _KINDS if number % 2 == 0 else reversed(_KINDS):
            print(f"round {number + 1} of {options.rounds}: {kind}", file=sys.stderr, flush=True)
            rates[kind].append(_measure(kind, options.steps))
    print(describe_machine(torch.device("cpu")))
    samples = {kind: [rate for rate, _ in found] for kind, found in rates.items()}
    waits = {kind: statistics.median(wait for _, wait in found) for kind, found in rates.items()}
    rows = [("loop", "samples/s, median", "smallest", "largest", "share of time waiting for data")]
    for kind, found in samples.items():
        rows.append(
            (
                kind,
                *(f"{value:.2f}" for value in (statistics.median(found), min(found), max(found))),
                f"{waits[kind]:.4f}",
            )
        )
    print("\n" + markdown_table(rows))
    bare, one, two = (statistics.median(samples[kind]) for kind in _KINDS)
    ratios = [
        ("ratio", "measured", "target"),
        ("time of a step, Ray Train with 1 worker / bare", f"{bare / one:.3f}", "at most 1.05"),
        ("samples/s, 2 workers / 1", f"{two / one:.2f}", "at least 1.5"),
    ]
    print("\n" + markdown_table(ratios))


def _measure(kind: str, num_steps: int) -> tuple[float, float]:
    """Samples a second of one run, and the share of its time that it waited for data."""
    with tempfile.TemporaryDirectory(prefix="rssr-training-") as name:
        if kind == "bare":
            process = multiprocessing.get_context("spawn").Process(target=_train_bare, args=(name, num_steps))
            process.start()
            process.join()
            num_workers = 1
        else:
            from ray.train import RunConfig, ScalingConfig
            from ray.train.torch import TorchTrainer

            num_workers = _KINDS.index(kind)
            TorchTrainer(
                _train_in_worker,
                train_loop_config={"folder": name, "num_steps": num_steps, "num_shares": num_workers},
                scaling_config=ScalingConfig(num_workers=num_workers, resources_per_worker={"CPU": 1}),
                run_config=RunConfig(name="run", storage_path=name),
            ).fit()
        found = json.loads(Path(name, "times.json").read_text())
    times_s = np.diff(found["times_s"][_LEFT_OUT:])
    return float(_BATCH * num_workers / np.median(times_s)), float(found["wait"])


def _phase(num_steps: int) -> Phase:
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    values = read_yaml(find_preset("quickstart/ldcsr_photographs").read_text())
    often = {"validate_every_n_steps": num_steps, "checkpoint_every_n_steps": num_steps, "log_every_n_steps": 10}
    autoencoder = {**values["autoencoder"], **often, "num_steps": num_steps, "batch_size": _BATCH}
    own = {name: value for name, value in values.items() if name in LDCSRConfig.model_fields}
    method = build_method("ldcsr", {**own, "autoencoder": autoencoder})
    return method.build_phase("autoencoder", PhaseInputs({}, torch.device("cpu")))


def _batches(num_shares: int, rank: int, world_size: int) -> list[dict[str, Any]]:
    numbers = shares_of_process(num_shares, rank, world_size)
    part = slice(numbers.start * _BATCH, numbers.stop * _BATCH)
    batches = []
    for number in range(_NUM_BATCHES):
        rng = np.random.default_rng(number)
        hr = rng.integers(0, 256, (num_shares * _BATCH, _SIDE, _SIDE, 3), dtype=np.uint8)[part]
        batches.append({"lr": hr[:, ::_SCALE, ::_SCALE].copy(), "hr": hr, "scale": float(_SCALE)})
    return batches


def _train_bare(folder: str, num_steps: int) -> None:
    phase = _phase(num_steps)
    torch.use_deterministic_algorithms(True, warn_only=True)
    [objective] = phase.objectives().values()
    optimizer = build_optimizer(objective, phase.config)
    batches = _batches(1, 0, 1)
    parameters = list(objective.trained_parameters().values())
    times_s = []
    objective.train()
    for step in range(num_steps):
        optimizer.zero_grad(set_to_none=True)
        batch = to_batch(batches[step % _NUM_BATCHES], torch.device("cpu"))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=phase.config.precision == "bfloat16"):
            loss = objective(batch, step, {}).total
        loss.backward()
        clip_gradients(parameters, phase.config.max_gradient_norm)
        optimizer.step()
        times_s.append(time.perf_counter())
    Path(folder, "times.json").write_text(json.dumps({"times_s": times_s, "wait": 0.0}))


def _train_in_worker(values: dict[str, Any]) -> None:
    context = RayTrainContext(None, TrainingGauges("ldcsr", "autoencoder", ""))
    phase = _phase(values["num_steps"])
    torch.use_deterministic_algorithms(True, warn_only=True)
    batches = _batches(values["num_shares"], context.rank, context.world_size)
    times_s: list[float] = []

    def stream(start_step: int) -> Iterator[Mapping[str, Any]]:
        for step in range(start_step, values["num_steps"]):
            yield {**batches[step % _NUM_BATCHES], "step": step, "micro_batch": 0}

    inputs = LoopInputs(
        phase=phase,
        batches=stream,
        held_out=[
            to_batch(
                {name: value[:1] if name != "scale" else value for name, value in batches[0].items()}, context.device
            )
        ],
        checkpoints=CheckpointStore(open_store(f"{values['folder']}/checkpoints"), keep=1),
        seed=0,
        num_shares=values["num_shares"],
        on_step=lambda step, terms: times_s.append(time.perf_counter()),
    )
    result = TrainingLoop(inputs, context).run()
    if context.rank == 0:
        wait = result.history.last_wait_fraction
        Path(values["folder"], "times.json").write_text(json.dumps({"times_s": times_s, "wait": wait}))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each kind")
    parser.add_argument("--steps", type=int, default=60, help="optimizer steps of a run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
