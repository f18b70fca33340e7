import torch

from rssr.layers.distillation import ContrastGate, DistillationBlock, DistillationChain


def test_gate_sees_contrast_and_average_alone(generator: torch.Generator) -> None:
    gate = ContrastGate(32)
    x = torch.randn(2, 32, 6, 5, generator=generator)
    weights = gate(x) / x
    shuffled = x.flatten(2)[:, :, torch.randperm(30, generator=generator)].view_as(x)
    assert gate.reduce.out_channels == 2  # a sixteenth
    torch.testing.assert_close(weights, weights[:, :, :1, :1].expand_as(weights), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(gate(shuffled) / shuffled, weights, atol=1e-4, rtol=1e-4)


def test_constant_maps_have_finite_gradients() -> None:
    block = DistillationBlock(8)
    x = torch.zeros(1, 8, 1, 1, requires_grad=True)
    block(x).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in block.parameters() if p.grad is not None)


def test_chain_without_weights_passes_its_input_on(generator: torch.Generator) -> None:
    chain = DistillationChain(8, 3)
    torch.nn.init.zeros_(chain.conv_out.weight)
    torch.nn.init.zeros_(chain.conv_out.bias)
    x = torch.randn(2, 8, 5, 4, generator=generator)
    assert torch.equal(chain(x), x)
    assert chain.fuse.in_channels == 24
