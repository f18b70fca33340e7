import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from rssr.errors import ModelError
from rssr.methods.slimdiffsr.networks import NoiseLevelPredictor, SlimDiffSR, UncertaintyEstimator
from rssr.methods.slimdiffsr.weights import unused_official_tensors

LAYOUT = Path(__file__).parents[3] / "layouts" / "slim_net_params.json"


@pytest.fixture(scope="module")
def recorded_student(student_checkpoint: Path, reduced_architecture: dict[str, Any]) -> SlimDiffSR:
    student = SlimDiffSR(**reduced_architecture).eval()
    state = {name.removeprefix("module."): value for name, value in load_file(student_checkpoint).items()}
    student.load_state_dict({name: value for name, value in state.items() if name in student.state_dict()})
    return student


def test_every_stage_equals_the_recorded(recorded_student: SlimDiffSR, vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("slim_student_network")
    x = recorded.tensors["in/lq"]
    captured = {}
    stages = {
        "mid/encoder_features": recorded_student.vae.encoder,
        "mid/merge_conv1": recorded_student.merge_conv1,
        "mid/conv_norm_out": recorded_student.unet.conv_norm_out,
        "mid/merge_conv2": recorded_student.merge_conv2,
    }
    hooks = [
        module.register_forward_hook(lambda _module, _args, out, name=name: captured.update({name: out}))
        for name, module in stages.items()
    ]
    with torch.no_grad():
        image, levels, latent = recorded_student.forward_features(x)
    for hook in hooks:
        hook.remove()
    results = {"out/image": image, "out/z": latent, **{f"mid/{name}": value for name, value in levels.items()}}
    for name, value in {**captured, **results}.items():
        recorded.assert_close(name, value)
    assert list(levels) == ["down0", "down1", "mid", "up0", "up1"]


def test_forward_is_the_features_image(recorded_student: SlimDiffSR, generator: torch.Generator) -> None:
    x = torch.rand(1, 3, 16, 32, generator=generator) * 2 - 1
    with torch.no_grad():
        assert torch.equal(recorded_student(x), recorded_student.forward_features(x).image)


def test_memory_order_does_not_matter(recorded_student: SlimDiffSR, generator: torch.Generator) -> None:
    x = torch.rand(2, 3, 32, 16, generator=generator) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(
            recorded_student(x.to(memory_format=torch.channels_last)), recorded_student(x), atol=1e-5, rtol=1e-4
        )


def test_batch_members_do_not_mix(recorded_student: SlimDiffSR, generator: torch.Generator) -> None:
    x = torch.rand(2, 3, 32, 16, generator=generator) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(recorded_student(x)[1:], recorded_student(x[1:]), atol=1e-5, rtol=1e-4)


def test_full_size_names_and_shapes_are_the_official_ones() -> None:
    official = json.loads(LAYOUT.read_text(encoding="utf-8"))["tensors"]
    with torch.device("meta"):
        student = SlimDiffSR()
    live = {name: list(value.shape) for name, value in student.state_dict().items()}
    unused = {name: list(shape) for name, shape in unused_official_tensors(student).items()}
    assert {f"module.{name}": [shape, True] for name, shape in live.items()} | {
        f"module.{name}": [shape, False] for name, shape in unused.items()
    } == official
    assert sum(p.numel() for p in student.parameters()) == 55_974_802


def test_architecture_rebuilds_the_network(tiny_architecture: dict[str, Any]) -> None:
    student = SlimDiffSR(**tiny_architecture)
    plain = json.loads(json.dumps(student.architecture))
    again = SlimDiffSR(**plain)
    assert again.architecture == student.architecture
    again.load_state_dict(student.state_dict())


def test_sizes_off_the_stride_are_refused(recorded_student: SlimDiffSR) -> None:
    assert recorded_student.stride == 16
    with pytest.raises(ModelError, match="multiples of 16"):
        recorded_student(torch.zeros(1, 3, 24, 32))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"norm_num_groups": 7}, "GroupNorm"),
        ({"attention": "linear"}, "'attention'"),
        ({"attention": "standard", "head_channels": 7}, "heads of 7"),
        ({"autoencoder": "dct"}, "'autoencoder'"),
        ({"num_plain_levels": 3}, "num_plain_levels"),
        ({"deviation_channels": -1}, "deviation_channels"),
        ({"num_encoder_blocks": [1, 1]}, "differ in length"),
        ({"layers_per_block": 0}, "'layers_per_block'"),
        ({"block_channels": [8, 0]}, "'block_channels'"),
    ],
)
def test_contradicting_architectures_are_refused(
    tiny_architecture: dict[str, Any], change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ModelError, match=reason):
        SlimDiffSR(**{**tiny_architecture, **change})


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"attention": "standard", "head_channels": 16},
        {"first_conv": "standard"},
        {"second_conv": "standard"},
        {"block_channels": [16, 16, 32], "mid_block": "attention", "num_plain_levels": 1},
        {"autoencoder": "taesd"},
        {"autoencoder": "vae", "vae_channels": [8, 16, 16, 16]},
    ],
    ids=["slimdiffsr", "wo-qgam", "wo-fsc", "wo-dsc", "wo-sap", "taesd", "vae"],
)
def test_students_compile_without_a_graph_break(
    tiny_architecture: dict[str, Any], change: dict[str, Any], generator: torch.Generator
) -> None:
    torch.compiler.reset()
    student = SlimDiffSR(**{**tiny_architecture, **change})
    compiled = torch.compile(student, fullgraph=True, backend="aot_eager")
    x = torch.rand(1, 3, 2 * student.stride, student.stride, generator=generator) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), student(x), atol=1e-5, rtol=1e-4)


def test_half_precision_stays_close(recorded_student: SlimDiffSR, generator: torch.Generator) -> None:
    x = torch.rand(1, 3, 32, 32, generator=generator) * 2 - 1
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        image = recorded_student(x)
    with torch.no_grad():
        assert (image.float() - recorded_student(x)).abs().max() < 0.1


def test_estimator_starts_at_the_lr_latent(generator: torch.Generator) -> None:
    estimator = UncertaintyEstimator(latent_channels=3, channels=8, num_blocks=2)
    z_lr = torch.randn(2, 3, 5, 7, generator=generator)
    z_mean, log_var = estimator(z_lr)
    assert torch.equal(z_mean, z_lr)
    assert torch.equal(log_var, torch.zeros_like(z_lr))


def test_estimator_learns_a_mean_and_a_variance(generator: torch.Generator) -> None:
    estimator = UncertaintyEstimator(latent_channels=1, channels=8, num_blocks=1)
    optimizer = torch.optim.Adam(estimator.parameters(), 1e-2)
    z_lr = torch.randn(8, 1, 8, 8, generator=generator)
    target = 2 * z_lr + 0.1 * torch.randn(8, 1, 8, 8, generator=generator)

    def loss() -> Tensor:
        z_mean, log_var = estimator(z_lr)
        return 0.5 * ((-log_var).exp() * (target - z_mean).square() + log_var).mean()

    before = loss().item()
    for _ in range(40):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
    assert loss().item() < before / 2


def test_predictor_gives_one_logit_a_position(generator: torch.Generator) -> None:
    predictor = NoiseLevelPredictor(latent_channels=4, channels=8, num_blocks=1)
    z, z_var = torch.randn(2, 2, 4, 5, 6, generator=generator)
    logits = predictor(z, z_var)
    assert logits.shape == (2, 1, 5, 6)
    assert logits.unique().numel() == 1  # a constant map to begin with
    logits.sum().backward()
    assert predictor.head.weight.grad.abs().max() > 0
