import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from pipelines.loop.context import LocalContext

ROOT = Path(__file__).parents[3]


class Sink:
    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, float], int]] = []

    def put(self, metrics: Mapping[str, float], step: int) -> None:
        self.taken.append((dict(metrics), step))


def test_one_process_reports_to_its_sink_and_keeps_its_gradients() -> None:
    sink = Sink()
    context = LocalContext(sink)
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([1.0, 2.0])
    context.average_gradients([parameter])
    context.report({"loss": 0.5}, 3)
    assert parameter.grad.tolist() == [1.0, 2.0]
    assert sink.taken == [({"loss": 0.5}, 3)]
    assert context.agree(7) == 7


def test_without_a_sink_reports_go_nowhere() -> None:
    LocalContext().report({"loss": 0.5}, 3)


def test_gradients_of_two_processes_become_their_mean(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys
        import torch
        from torch import distributed, nn
        from pipelines.loop.context import average_gradients_over_workers

        rank = int(sys.argv[1])
        distributed.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
        matrix, vector, idle, half = (nn.Parameter(torch.zeros(shape)) for shape in ((2, 3), (2,), (4,), (1,)))
        half.data = half.data.bfloat16()
        matrix.grad = torch.arange(6.0).reshape(2, 3) * (rank + 1)
        if rank == 1:
            vector.grad = torch.tensor([2.0, -4.0])
        half.grad = torch.tensor([1.0 + rank], dtype=torch.bfloat16)
        average_gradients_over_workers(iter([matrix, vector, idle, half]), 2)
        assert torch.equal(matrix.grad, torch.arange(6.0).reshape(2, 3) * 1.5), matrix.grad
        assert torch.equal(vector.grad, torch.tensor([1.0, -2.0])), vector.grad
        assert torch.equal(idle.grad, torch.zeros(4))
        assert half.grad.dtype == torch.bfloat16 and half.grad.item() == 1.5
        average_gradients_over_workers([], 2)
        distributed.destroy_process_group()
        """
    )
    commands = [[sys.executable, "-c", script, str(rank), str(tmp_path / "meeting")] for rank in range(2)]
    processes = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for command in commands]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
