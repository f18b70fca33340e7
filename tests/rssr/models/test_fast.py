import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rssr.errors import ModelError
from rssr.methods.slimdiffsr.networks import SlimDiffSR, UncertaintyEstimator
from rssr.models.fast import fast_dtype, fast_model, prepare_fast
from rssr.models.latent.network import LatentSR
from rssr.models.loaded import LoadedModel, load_model
from rssr.models.registry import build_resolver
from rssr.models.resolver import Draws, SamplingResolver, TilePlace
from rssr.scenes import generate_scene

ABLATIONS = {
    "slimdiffsr": {"deviation_channels": 8},
    "wo-qgam": {"attention": "standard", "head_channels": 16},
    "wo-fsc": {"first_conv": "standard"},
    "wo-dsc": {"second_conv": "standard"},
    "wo-sap": {"block_channels": [16, 16, 32], "mid_block": "attention", "num_plain_levels": 1},
    "taesd": {"autoencoder": "taesd"},
    "vae": {"autoencoder": "vae", "vae_channels": [8, 16, 16, 16]},
}


@pytest.fixture(scope="module")
def scenes() -> tuple[Tensor, Tensor]:
    """LR images at the target size and HR images, [8, 3, 64, 64] in [-1, 1]."""
    hr = torch.stack([torch.from_numpy(generate_scene(seed, 64, 64).copy()) for seed in range(8)])
    hr = hr.permute(0, 3, 1, 2).float() / 127.5 - 1
    return F.interpolate(F.avg_pool2d(hr, 4), scale_factor=4, mode="bicubic"), hr


@pytest.fixture(scope="module")
def trained_student(tiny_architecture: dict[str, Any], scenes: tuple[Tensor, Tensor]) -> SlimDiffSR:
    """Weights that make an image of their input: random ones do not show what rounding does to a picture."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        student = SlimDiffSR(**tiny_architecture)
    optimizer = torch.optim.Adam(student.parameters(), 3e-3)
    lr, hr = (images[:4] for images in scenes)
    for _ in range(60):
        optimizer.zero_grad()
        loss = (student(lr) - hr).abs().mean()
        loss.backward()
        optimizer.step()
    return student.eval()


LATENT = {
    "channels": 16,
    "num_res_blocks": 1,
    "norm_num_groups": 4,
    "num_distillation_blocks": 1,
    "upsampler_channels": 16,
    "denoiser_channels": 16,
    "denoiser_multipliers": [1, 2],
    "denoiser_num_res_blocks": 1,
    "attention_resolutions": [2],
    "head_channels": 8,
}
CONSISTENCY = {"num_timesteps": 1000, "beta_start": 0.0015, "beta_end": 0.0155}


@pytest.fixture(scope="module")
def trained_latent(scenes: tuple[Tensor, Tensor]) -> LatentSR:
    """Tells a little noise from a code at the schedules' last timesteps; what its decoder adds is plain to see."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = LatentSR(**LATENT)
        optimizer = torch.optim.Adam(network.denoiser.parameters(), 3e-3)
        lr = F.avg_pool2d(scenes[1], 4)
        with torch.no_grad():
            code = network.encode_condition(lr, (64, 64))
        for step in range(60):
            optimizer.zero_grad()
            noise = torch.randn_like(code)
            predicted = network.predict(0.05 * code + noise, code, 3 if step % 2 else 999, 4.0, 64)
            (predicted - noise).square().mean().backward()
            optimizer.step()
        with torch.no_grad():
            added = network.decode(code, lr, (64, 64)) - F.interpolate(lr, size=(64, 64), mode="bicubic")
            network.decoder.last_conv.weight.mul_(0.15 / added.std())
    return network.eval()


def of_method(name: str, trained: LatentSR) -> LoadedModel:
    network = LatentSR(**{**LATENT, **(CONSISTENCY if name == "lcmsr" else {})}).eval()
    network.load_state_dict(trained.state_dict())
    return LoadedModel(name, build_resolver(name, network), network, {}, None)


def to_levels(image: Tensor) -> Tensor:
    return ((image.float().clamp(-1, 1) + 1) * 127.5).round()


def psnr_of_levels(one: Tensor, other: Tensor) -> float:
    error = (to_levels(one) - to_levels(other)).square().mean().item()
    return 10 * math.log10(255**2 / error) if error else math.inf


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_images_of_8_bit_agree_within_45_db(
    trained_student: SlimDiffSR, scenes: tuple[Tensor, Tensor], dtype: torch.dtype
) -> None:
    fast = prepare_fast(trained_student, "cpu", dtype)
    with torch.no_grad():
        expected = trained_student(scenes[0])
        assert to_levels(expected).std() > 10  # a picture, not a grey field
        assert psnr_of_levels(fast(scenes[0].to(dtype)), expected) >= 45


@pytest.mark.parametrize("change", ABLATIONS.values(), ids=ABLATIONS)
def test_without_rounding_every_student_stays_the_same_function(
    tiny_architecture: dict[str, Any], change: dict[str, Any], generator: torch.Generator
) -> None:
    student = SlimDiffSR(**{**tiny_architecture, **change}).double().eval()
    fast = prepare_fast(student, "cpu", torch.float64)
    x = torch.rand(3, 3, 3 * student.stride, 2 * student.stride, generator=generator, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        expected = student(x)
        torch.testing.assert_close(fast(x), expected, atol=1e-10 * expected.abs().max().item(), rtol=0)


def test_the_network_itself_stays_as_it_is(trained_student: SlimDiffSR, scenes: tuple[Tensor, Tensor]) -> None:
    before = {name: value.clone() for name, value in trained_student.state_dict().items()}
    with torch.no_grad():
        expected = trained_student(scenes[0])
        prepare_fast(trained_student, "cpu")
        assert torch.equal(trained_student(scenes[0]), expected)
    after = trained_student.state_dict()
    assert all(torch.equal(value, before[name]) and value.dtype == torch.float32 for name, value in after.items())
    assert all(parameter.requires_grad for parameter in trained_student.parameters())


def test_calls_repeat_to_the_bit(trained_student: SlimDiffSR, scenes: tuple[Tensor, Tensor]) -> None:
    x = scenes[0].bfloat16()
    with torch.no_grad():
        first, again = (prepare_fast(trained_student, "cpu", torch.bfloat16)(x) for _ in range(2))
    assert torch.equal(first, again)


def test_a_resolver_takes_the_fast_network(trained_student: SlimDiffSR, scenes: tuple[Tensor, Tensor]) -> None:
    lr = F.avg_pool2d(scenes[1], 4)
    expected = build_resolver("slimdiffsr", trained_student)(lr, (50, 61))
    found = build_resolver("slimdiffsr", prepare_fast(trained_student, "cpu", torch.bfloat16))(lr, (50, 61))
    assert found.dtype == torch.float32
    assert psnr_of_levels(found, expected) >= 45


def test_a_fast_model_keeps_its_card_and_gives_the_same_image(
    trained_student: SlimDiffSR, scenes: tuple[Tensor, Tensor]
) -> None:
    card: Any = object()
    model = LoadedModel("slimdiffsr", build_resolver("slimdiffsr", trained_student), trained_student, {"a": 1}, card)
    fast = fast_model(model)
    assert (fast.name, fast.architecture, fast.card) == ("slimdiffsr", {"a": 1}, card)
    assert fast.network is not trained_student
    lr = F.avg_pool2d(scenes[1], 4)
    assert psnr_of_levels(fast.resolver(lr, (64, 64)), model.resolver(lr, (64, 64))) >= 45


def test_the_error_bars_of_a_fast_model_agree(tiny_architecture: dict[str, Any], generator: torch.Generator) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        student = SlimDiffSR(**{**tiny_architecture, "deviation_channels": 8}).eval()
    nn.init.normal_(student.deviation_head.out.weight, generator=generator)
    lr = torch.rand(1, 3, 9, 12, generator=generator) * 2 - 1
    expected = build_resolver("slimdiffsr", student).with_deviation(lr, (36, 48))[1]
    found = build_resolver("slimdiffsr", prepare_fast(student, "cpu", torch.bfloat16)).with_deviation(lr, (36, 48))[1]
    assert expected.std() > 1e-3
    assert ((found - expected).abs() / expected).mean() < 0.02


@pytest.mark.parametrize("name", ["ldcsr", "lcmsr"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_latent_models_sample_the_same_images_of_8_bit_within_45_db(
    trained_latent: LatentSR,
    scenes: tuple[Tensor, Tensor],
    name: str,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rssr.models.fast.fast_dtype", lambda device: dtype)
    model = of_method(name, trained_latent)
    fast = fast_model(model)
    assert isinstance(fast.network, LatentSR)
    assert {part.dtype for part in fast.network.decoder.parameters()} == {dtype}
    assert {part.dtype for part in fast.network.denoiser.parameters()} == {torch.float32}
    lr = F.avg_pool2d(scenes[1], 4)
    for size in ((64, 64), (54, 54)):
        expected, found = model.resolver(lr, size), fast.resolver(lr, size)
        assert found.dtype == torch.float32
        base = F.interpolate(lr, size=size, mode="bicubic", antialias=False)
        assert psnr_of_levels(expected, base) < 35  # the network takes part in the picture
        assert psnr_of_levels(found, expected) >= 45


def test_tiles_of_a_fast_latent_model_lie_where_they_should(
    trained_latent: LatentSR, scenes: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rssr.models.fast.fast_dtype", lambda device: torch.bfloat16)
    model = of_method("ldcsr", trained_latent)
    lr = F.avg_pool2d(scenes[1][:1], 2)
    place = TilePlace(lr_origin=(11, 11), sr_origin=(40, 40), lr_size=(64, 64), sr_size=(218, 218))
    images = []
    for resolver in (model.resolver, fast_model(model).resolver):
        assert isinstance(resolver, SamplingResolver)
        images.append(resolver.placed([place], Draws())(lr, (72, 72)))
    assert psnr_of_levels(*images) >= 45


def test_models_without_a_network_stay_and_networks_that_yield_no_image_are_refused() -> None:
    bicubic = load_model("bicubic")
    assert fast_model(bicubic) is bicubic
    other = LoadedModel("slimdiffsr-uncertainty", bicubic.resolver, UncertaintyEstimator(4, 8, 1), {}, None)
    with pytest.raises(ModelError, match="no fast form"):
        fast_model(other)


def test_bfloat16_is_taken_only_where_the_processor_multiplies_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for capabilities, expected in (
        ({"avx512_f": True, "avx512_bf16": True}, torch.bfloat16),
        ({"avx512_f": True, "avx512_bf16": False, "cpu_name": "bf16"}, torch.float32),
        ({"amx_bf16": True}, torch.bfloat16),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found, raising=False)
        assert fast_dtype("cpu") is expected
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert fast_dtype("cpu") is torch.float32


def test_a_compiled_copy_is_one_graph(
    trained_student: SlimDiffSR, scenes: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_module = nn.Module.compile
    asked: list[dict[str, Any]] = []

    def compile_without_code(network: nn.Module, **options: Any) -> None:
        asked.append(options)
        compile_module(network, fullgraph=options["fullgraph"], dynamic=options["dynamic"], backend="aot_eager")

    monkeypatch.setattr(nn.Module, "compile", compile_without_code)
    torch.compiler.reset()
    fast: Callable[[Tensor], Tensor] = prepare_fast(trained_student, "cpu", torch.float32, compiled=True)
    with torch.no_grad():
        torch.testing.assert_close(fast(scenes[0]), trained_student(scenes[0]), atol=1e-5, rtol=1e-4)
    assert asked[0]["fullgraph"]


@pytest.mark.long
def test_a_compiled_copy_gives_the_same_images(trained_student: SlimDiffSR, scenes: tuple[Tensor, Tensor]) -> None:
    """PyTorch compiles with g++, which nothing else here needs."""
    torch.compiler.reset()
    fast = prepare_fast(trained_student, "cpu", torch.bfloat16, compiled=True)
    with torch.no_grad():
        assert psnr_of_levels(fast(scenes[0].bfloat16()), trained_student(scenes[0])) >= 45
