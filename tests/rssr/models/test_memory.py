from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rssr.layers.attention import SelfAttention
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.models.memory import ActivationMemory, measure_activations, pretended_device

CPU, CUDA, META = (torch.device(name) for name in ("cpu", "cuda", "meta"))


def held(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def real(network: nn.Module, *shape: int) -> ActivationMemory:
    image = torch.rand(shape)
    return measure_activations(lambda: network(image), held(network))


def pretended(
    build: Callable[[], nn.Module],
    shape: Iterable[int],
    device: torch.device = CPU,
    autocast: torch.dtype | None = None,
) -> ActivationMemory:
    with META:
        network = build()
    with pretended_device([network], device, autocast):
        image = torch.empty(tuple(shape), device=device)
        return measure_activations(lambda: network(image), held(network))


def test_saved_is_what_the_backward_pass_needs_by_hand() -> None:
    network = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 10))
    image, hidden, result = 3 * 2 * 64 * 4, 3 * 4 * 64 * 4, 3 * 10 * 4
    # The convolution keeps its input; ReLU its result, which is the linear layer's input too: one storage.
    memory = real(network, 3, 2, 8, 8)
    assert memory.saved == image + hidden
    assert memory.peak >= image + hidden + result


def test_views_and_repeated_use_count_once() -> None:
    x = torch.rand(1000)
    weight = nn.Parameter(torch.ones(1))
    memory = measure_activations(lambda: (x * weight).sum() + (x[:10] * weight).sum() + (x.view(10, 100) * weight), [])
    assert memory.saved == x.numel() * 4


def test_held_tensors_are_no_activations() -> None:
    network = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    image = torch.rand(1, 64)
    named, unnamed = (measure_activations(lambda: network(image), tensors).saved for tensors in (held(network), []))
    assert unnamed - named == 64 * 64 * 4  # the first layer's weight is not needed: the image has no gradient


def test_without_gradients_nothing_is_saved_but_memory_is_taken() -> None:
    network = nn.Sequential(*[nn.Conv2d(8, 8, 3, padding=1) for _ in range(5)])
    with torch.no_grad():
        memory = real(network, 1, 8, 16, 16)
    one = 8 * 16 * 16 * 4
    assert memory.saved == 0
    assert 2 * one <= memory.peak <= 3 * one  # a layer's input and result, not all five


def test_what_is_dropped_during_the_run_is_not_saved_at_its_end() -> None:
    network = nn.Conv2d(3, 3, 3, padding=1)
    image = torch.rand(1, 3, 16, 16)
    once = measure_activations(lambda: network(image), held(network))

    def twice() -> Tensor:
        network(image + 1)  # its graph ends here
        result: Tensor = network(image)
        return result

    assert measure_activations(twice, held(network)).saved == once.saved


@pytest.mark.parametrize("attention", ["qgam", "standard"])
def test_a_pretended_cpu_saves_what_the_real_one_does(attention: str, tiny_architecture: dict[str, Any]) -> None:
    values = {**tiny_architecture, "attention": attention, "head_channels": 8}
    actual = real(SlimDiffSR(**values), 2, 3, 64, 48)
    estimated = pretended(lambda: SlimDiffSR(**values), (2, 3, 64, 48))
    assert estimated.saved == actual.saved
    assert estimated.peak == pytest.approx(actual.peak, rel=1e-3)


def test_half_precision_is_estimated_too(tiny_architecture: dict[str, Any]) -> None:
    network = SlimDiffSR(**tiny_architecture)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = real(network, 2, 3, 64, 64)
    estimated = pretended(lambda: SlimDiffSR(**tiny_architecture), (2, 3, 64, 64), CPU, torch.bfloat16)
    assert estimated.saved == pytest.approx(actual.saved, rel=0.01)
    assert estimated.saved < 0.7 * real(network, 2, 3, 64, 64).saved


@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
def test_a_pretended_gpu_keeps_no_matrix_of_scores(autocast: torch.dtype | None) -> None:
    one, two = (
        pretended(lambda: SelfAttention(16, head_channels=8), (1, tokens, 16), CUDA, autocast).saved
        for tokens in (512, 1024)
    )
    assert two < 2.1 * one
    assert one < 512 * 512 * 2


@pytest.mark.parametrize("options", [{"scale": 0.3}, {"attn_mask": None, "dropout_p": 0.0, "is_causal": False}])
def test_attention_takes_its_usual_options_on_a_pretended_gpu(options: dict[str, Any]) -> None:
    class Attention(nn.Module):
        def forward(self, tokens: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(tokens, tokens, tokens, **options)

    assert pretended(Attention, (1, 2, 64, 8), CUDA).peak >= 2 * 64 * 8 * 4


def test_a_pretended_gpu_normalises_in_full_precision_under_autocast() -> None:
    """As CUDA's autocast does and the CPU's does not: the copy that it makes is kept."""

    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(8, 8, 1), nn.GroupNorm(2, 8))

    gpu, cpu = (pretended(build, (1, 8, 64, 64), device, torch.bfloat16).saved for device in (CUDA, CPU))
    values = 8 * 64 * 64
    assert gpu - cpu == pytest.approx(2 * values, rel=0.01)


def test_nothing_is_allocated_however_large() -> None:
    side = 100_000  # its activations would take terabytes
    memory = pretended(lambda: nn.Conv2d(3, 64, 3, padding=1), (1, 3, side, side), CUDA)
    assert memory.saved == 3 * side**2 * 4
    assert memory.peak >= 64 * side**2 * 4


def test_the_frozen_part_of_a_network_saves_only_what_gradients_pass_through() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)).requires_grad_(False)
    assert real(network, 1, 3, 16, 16).saved == 0


def test_the_state_of_autocast_is_restored() -> None:
    before = [(torch.is_autocast_enabled(t), torch.get_autocast_dtype(t)) for t in ("cpu", "cuda")]
    for device in (CPU, CUDA):
        pretended(lambda: nn.Linear(4, 4), (2, 4), device, torch.bfloat16)
        with pytest.raises(RuntimeError):
            pretended(lambda: nn.Linear(4, 4), (2, 5), device, torch.bfloat16)
    assert [(torch.is_autocast_enabled(t), torch.get_autocast_dtype(t)) for t in ("cpu", "cuda")] == before
    assert F.linear(torch.ones(1, 2), torch.ones(1, 2)).dtype == torch.float32


@pytest.mark.parametrize("device", [CPU, CUDA], ids=str)
def test_losses_may_take_gradients_of_themselves(device: torch.device) -> None:
    """As adaptive weights do; a pretended GPU has no backward pass to ask for them."""

    class Balanced(nn.Conv2d):
        def forward(self, image: Tensor) -> Tensor:
            first = super().forward(image).abs().sum()
            (gradient,) = torch.autograd.grad(first, self.weight, retain_graph=True)
            assert gradient.shape == self.weight.shape
            return first * gradient.norm()

    memory = pretended(lambda: Balanced(2, 3, 3), (1, 2, 8, 8), device)
    assert min(memory.saved, memory.peak) > 0
