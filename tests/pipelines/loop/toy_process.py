"""One process of several that train the toy phase; started by the tests.

Arguments: rank, number of processes, a file to meet at, and a JSON list of runs: `folder`, `settings` of the phase,
`num_shares`, and optionally `width`, `with_critic` and `dies_at`, a step at which this process is killed. Rank 0 leaves
`losses.json` and `weights.pt` in the folder.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from pipelines.loop.checkpoints import CheckpointStore
from pipelines.loop.context import Image, means_of_values
from pipelines.loop.loop import LoopInputs, TrainingLoop
from pipelines.loop.parallel import whole
from pipelines.storage import open_store
from rssr.methods.phase import Batch
from rssr.methods.training import TrainingConfig
from tests.pipelines.loop.toy import ToyPhase, ToyStream


class ProcessContext:
    """One of several processes that have met."""

    device = torch.device("cpu")

    def __init__(self, rank: int, world_size: int) -> None:
        self.rank = rank
        self.world_size = world_size

    def mean(self, values: Sequence[float]) -> list[float]:
        return means_of_values(values, self.device)

    def report(self, metrics: Mapping[str, float], step: int) -> None:
        return

    def show(self, image: Image, step: int) -> None:
        return

    def is_due_to_end(self, elapsed_s: float) -> bool:
        return False

    def end_if_told(self) -> None:
        return

    def agree(self, value: int) -> int:
        shared = torch.tensor([value])
        distributed.broadcast(shared, src=0)
        return int(shared)


def run(context: ProcessContext, folder: str, settings: dict[str, Any], num_shares: int, **options: Any) -> None:
    config = TrainingConfig(**settings)
    dies_at = options.pop("dies_at", None)
    phase = ToyPhase(config, **options)
    losses: list[float] = []

    def on_step(step: int, terms: Mapping[str, float]) -> None:
        losses.append(terms["loss/main"])
        if step == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    inputs = LoopInputs(
        phase=phase,
        batches=ToyStream(config, num_shares, context.rank, context.world_size),
        held_out=[Batch(torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8), 1.0)],
        checkpoints=CheckpointStore(open_store(folder), keep=2),
        seed=11,
        num_shares=num_shares,
        on_step=on_step,
    )
    TrainingLoop(inputs, context).run()
    weights = {name: whole(value).detach() for name, value in phase.main.state_dict().items()}
    if context.rank == 0:
        Path(folder, "losses.json").write_text(json.dumps(losses))
        torch.save(weights, Path(folder, "weights.pt"))


def main() -> None:
    rank, world_size, meeting, runs = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world_size)
    for values in runs:
        run(ProcessContext(rank, world_size), **values)
    distributed.barrier()  # none leaves while another still writes: what is left of the group could be aborted
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
