import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipelines.loop.context import Image, LocalContext

ROOT = Path(__file__).parents[3]


class Sink:
    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, float], int]] = []
        self.images: list[tuple[str, Image, int]] = []

    def put(self, metrics: Mapping[str, float], step: int) -> None:
        self.taken.append((dict(metrics), step))

    def put_image(self, name: str, image: Image, step: int) -> None:
        self.images.append((name, image, step))


def test_one_process_reports_to_its_sink_and_agrees_with_itself() -> None:
    sink = Sink()
    context = LocalContext(sink)
    image = np.zeros((2, 3, 3), np.uint8)
    context.report({"loss": 0.5}, 3)
    context.show(image, 4)
    assert sink.taken == [({"loss": 0.5}, 3)]
    assert sink.images == [("panels", image, 4)]
    assert context.agree(7) == 7
    assert context.mean([1.0, 2.5]) == [1.0, 2.5]
    assert not context.is_due_to_end(100.0)


def test_without_a_sink_reports_go_nowhere() -> None:
    LocalContext().report({"loss": 0.5}, 3)
    LocalContext().show(np.zeros((2, 3, 3), np.uint8), 3)


def test_two_processes_meet(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys
        import torch
        from torch import distributed, nn
        from pipelines.loop.batch_norm import synchronise_batch_norm
        from pipelines.loop.context import means_of_values
        from rssr.losses.patch_discriminator import adaptive_weight

        rank = int(sys.argv[1])
        distributed.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
        assert means_of_values([1.0 + rank, 1e-30, float(rank)], torch.device("cpu")) == [1.5, 1e-30, 0.5]

        layer = nn.Parameter(torch.ones(2))
        image_loss = (layer * torch.tensor([3.0, 4.0])).sum() * (1 + rank)
        weight = adaptive_weight(image_loss, layer.sum() * 0.0 + layer[0], layer)
        assert abs(float(weight) - 7.5 / (1 + 1e-4)) < 1e-5, weight

        torch.manual_seed(5)
        images = torch.randn(5, 3, 4, 6)
        plain = nn.BatchNorm2d(3)
        nn.init.normal_(plain.weight), nn.init.normal_(plain.bias)
        both = nn.Sequential(nn.BatchNorm2d(3))
        both[0].load_state_dict(plain.state_dict())
        synchronise_batch_norm(both)
        part = slice(0, 2) if rank == 0 else slice(2, 5)
        whole, ours = images.clone().requires_grad_(), images[part].clone().requires_grad_()
        for _ in range(2):
            plain(whole).pow(3).sum().backward()
            both(ours).pow(3).sum().backward()
        assert torch.allclose(both(ours), plain(whole)[part], atol=1e-5)
        assert torch.allclose(ours.grad, whole.grad[part], atol=1e-4), (ours.grad - whole.grad[part]).abs().max()
        for name, value in plain.state_dict().items():
            assert torch.allclose(both[0].state_dict()[name], value, atol=1e-5), name
        both.eval(), plain.eval()
        assert torch.allclose(both(ours), plain(images[part]), atol=1e-5)
        distributed.destroy_process_group()
        """
    )
    commands = [[sys.executable, "-c", script, str(rank), str(tmp_path / "meeting")] for rank in range(2)]
    processes = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for command in commands]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
