import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rssr
from rssr.diffusion.schedule import denoise_in_one_step, scaled_linear_schedule, signal_share_at
from rssr.errors import ModelError
from rssr.methods.slimdiffsr.latents import decode_latent, encode_image
from rssr.methods.slimdiffsr.teacher import Teacher, adapter_state, create_teacher, merge_adapters
from rssr.methods.slimdiffsr.teacher_unet import predict_noise
from rssr.models.registry import count_parameters
from rssr.weights.base import Component, create_autoencoder, create_unet

Shake = Callable[[nn.Module], None]

UNET = {
    "block_out_channels": (8, 16, 16, 24),
    "attention_head_dim": (1, 2, 2, 3),
    "cross_attention_dim": 12,
    "norm_num_groups": 4,
}
AUTOENCODER = {"block_out_channels": (4, 4, 8, 8), "norm_num_groups": 2, "layers_per_block": 1}


def tiny_teacher(**settings: object) -> Teacher:
    torch.manual_seed(0)
    values = {"unet_lora_rank": 2, "decoder_lora_rank": 3, "predictor_channels": 8, "predictor_blocks": 1}
    return create_teacher(UNET, AUTOENCODER, {"channels": 8, "num_blocks": 1}, **{**values, **settings})


@pytest.fixture(scope="module")
def shared_teacher(shaken: Shake) -> Teacher:
    """No test may change it."""
    teacher = tiny_teacher()
    shaken(teacher)
    with torch.no_grad():
        teacher.estimator.get_parameter("head.weight").normal_(0, 0.2)  # zero when new
        teacher.get_buffer("prompt_embedding").normal_()
    return teacher.eval()


@pytest.fixture
def teacher(shared_teacher: Teacher) -> Teacher:
    """A teacher of one's own."""
    return copy.deepcopy(shared_teacher)


@pytest.fixture
def pair(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    # Large enough for two tokens in the middle: one alone leaves its query and key without a gradient.
    lr_upsampled, hr = torch.rand(2, 2, 3, 72, 56, generator=generator) * 2 - 1
    return lr_upsampled, hr


@pytest.fixture(scope="module", params=["plain", "with adapters"])
def unet(request: pytest.FixtureRequest, shared_teacher: Teacher) -> Component:
    if request.param == "with adapters":
        return shared_teacher.unet
    torch.manual_seed(0)
    return create_unet(**UNET)


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (9, 12), (1, 3), (16, 10)])
@pytest.mark.parametrize("timestep", [0.0, 123.4, 500.0, 999.0])
def test_a_constant_map_equals_the_librarys_scalar_unet(
    unet: Component, size: tuple[int, int], timestep: float, generator: torch.Generator
) -> None:
    latent = torch.randn(2, 4, *size, generator=generator)
    prompt = torch.randn(1, 5, 12, generator=generator).expand(2, -1, -1)
    with torch.no_grad():
        expected = unet(latent, torch.tensor(timestep), prompt).sample
        found, _ = predict_noise(unet, latent, torch.full((2, 1, *size), timestep), prompt)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_each_image_may_have_its_own_timestep(unet: Component, generator: torch.Generator) -> None:
    latent, timesteps = torch.randn(3, 4, 7, 6, generator=generator), torch.tensor([10.0, 400.5, 950.0])
    prompt = torch.randn(3, 5, 12, generator=generator)
    with torch.no_grad():
        expected = unet(latent, timesteps, prompt).sample
        found, _ = predict_noise(unet, latent, timesteps.reshape(3, 1, 1, 1).expand(3, 1, 7, 6), prompt)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_timestep_matters_place_by_place(unet: Component, generator: torch.Generator) -> None:
    latent = torch.randn(1, 4, 8, 8, generator=generator)
    prompt = torch.randn(1, 5, 12, generator=generator)
    constant = torch.full((1, 1, 8, 8), 100.0)
    changed = constant.clone()
    changed[..., :4] = 900
    with torch.no_grad():
        before, after = (predict_noise(unet, latent, t, prompt)[0] for t in (constant, changed))
        everywhere, _ = predict_noise(unet, latent, torch.full_like(constant, 900), prompt)
    assert float((after - before).abs().max()) > 1e-3
    assert float((after - everywhere).abs().max()) > 1e-3


def test_one_pass_is_one_denoising_step_from_the_lr_latent(
    shared_teacher: Teacher, pair: tuple[Tensor, Tensor]
) -> None:
    lr_upsampled, hr = pair
    with torch.no_grad():
        output = shared_teacher(lr_upsampled, hr)
        latent = encode_image(shared_teacher.autoencoder, lr_upsampled)
        prompt = shared_teacher.get_buffer("prompt_embedding").expand(2, -1, -1)
        noise_pred, _ = predict_noise(shared_teacher.unet, latent, output.timestep, prompt)
        clean = denoise_in_one_step(latent, noise_pred, output.signal_share)
        expected = decode_latent(shared_teacher.autoencoder, clean)
    assert output.sr.shape == hr.shape
    torch.testing.assert_close(output.sr, expected)
    share = signal_share_at(output.timestep.double(), shared_teacher.schedule)
    torch.testing.assert_close(output.signal_share.double(), share, rtol=0, atol=1e-6)


def test_distillation_sees_the_same_levels_without_decoding(teacher: Teacher, pair: tuple[Tensor, Tensor]) -> None:
    decoded = []
    teacher.autoencoder.decoder.register_forward_hook(lambda *_: decoded.append(True))
    with torch.no_grad():
        step = teacher.denoise(*pair)
        assert decoded == []
        output = teacher(*pair)
    assert decoded == [True]
    assert step.features.keys() == output.features.keys()
    assert all(torch.equal(step.features[level], value) for level, value in output.features.items())


def test_hr_sets_the_noise_level_and_the_estimators_mean_stands_in_for_it(
    shared_teacher: Teacher, pair: tuple[Tensor, Tensor]
) -> None:
    lr_upsampled, hr = pair
    with torch.no_grad():
        mean, log_variance = shared_teacher.estimate(encode_image(shared_teacher.autoencoder, lr_upsampled))
        from_mean, _ = shared_teacher.noise_level(mean, log_variance)
        from_hr, _ = shared_teacher.noise_level(encode_image(shared_teacher.autoencoder, hr), log_variance)
        assert torch.equal(shared_teacher(lr_upsampled).signal_share, from_mean)
        assert torch.equal(shared_teacher(lr_upsampled, hr).signal_share, from_hr)
    assert not torch.allclose(from_mean, from_hr, atol=1e-4)


def test_map_mode_differs_from_place_to_place(shared_teacher: Teacher, pair: tuple[Tensor, Tensor]) -> None:
    output = shared_teacher(*pair)
    assert output.timestep.shape == output.signal_share.shape == (2, 1, 9, 7)
    assert output.timestep.std().item() > 0.1
    assert 0 <= output.timestep.min().item() <= output.timestep.max().item() <= 999


def test_scalar_mode_has_one_timestep_an_image(shaken: Shake, pair: tuple[Tensor, Tensor]) -> None:
    teacher = tiny_teacher(timestep="scalar")
    shaken(teacher)
    timestep = teacher(*pair).timestep.detach()
    assert timestep.shape == (2, 1, 9, 7)
    assert [len(image.unique()) for image in timestep] == [1, 1]
    assert float((timestep[0] - timestep[1]).abs().max()) > 1e-3


def test_fixed_mode_has_the_configured_timestep_and_no_predictor_to_train(pair: tuple[Tensor, Tensor]) -> None:
    teacher = tiny_teacher(timestep="fixed", fixed_timestep=250)
    output = teacher(*pair)
    assert output.timestep.unique().tolist() == [250]
    expected = float(scaled_linear_schedule().alphas_cumprod[250])
    assert output.signal_share.unique().tolist() == pytest.approx([expected])
    output.sr.sum().backward()
    trained = [name for name, p in teacher.named_parameters() if p.requires_grad]
    assert all("lora_" in name for name in trained)
    assert {name for name, p in teacher.named_parameters() if p.grad is not None} == set(trained)


@pytest.mark.parametrize("use_uncertainty", [True, False])
def test_variance_is_seen_only_where_it_is_asked_for(
    shaken: Shake, pair: tuple[Tensor, Tensor], use_uncertainty: bool
) -> None:
    teacher = tiny_teacher(use_uncertainty=use_uncertainty)
    shaken(teacher)
    before = teacher(*pair).signal_share
    with torch.no_grad():
        teacher.estimator.get_parameter("head.bias")[4:] += 1.5  # the log variances
    assert torch.equal(teacher(*pair).signal_share, before) != use_uncertainty


def expected_adapters(network: nn.Module, rank: int) -> dict[str, int]:
    """Rank times inputs and outputs of every linear and convolution layer, from shapes alone."""
    counts = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            out_channels, *rest = module.weight.shape
            counts[f"{name}.lora_A"] = rank * int(torch.tensor(rest).prod())
            counts[f"{name}.lora_B"] = rank * out_channels
    return counts


def trained_counts(network: nn.Module) -> dict[str, int]:
    trained = {name: p.numel() for name, p in network.named_parameters() if p.requires_grad}
    return {name.removesuffix(".default.weight"): count for name, count in trained.items()}


def test_adapters_sit_on_every_linear_and_convolution_layer_and_nothing_else_is_trained(
    shared_teacher: Teacher,
) -> None:
    unet, decoder = create_unet(**UNET), create_autoencoder(**AUTOENCODER).decoder
    teacher = shared_teacher
    assert trained_counts(teacher.unet) == expected_adapters(unet, 2)
    assert trained_counts(teacher.autoencoder.decoder) == expected_adapters(decoder, 3)
    layers = {name.rpartition(".")[0] for name in expected_adapters(decoder, 3)}
    assert {"conv_in", "conv_out", "mid_block.attentions.0.to_q", "up_blocks.3.resnets.0.conv1"} <= layers
    assert trained_counts(teacher.autoencoder.encoder) == trained_counts(teacher.estimator) == {}
    predictor = {name for name, _ in teacher.predictor.named_parameters()}
    assert trained_counts(teacher.predictor).keys() == predictor
    names = {name.partition(".")[0] for name, p in teacher.named_parameters() if p.requires_grad}
    assert names == {"unet", "autoencoder", "predictor"}
    assert adapter_state(teacher).keys() == {name for name, p in teacher.named_parameters() if p.requires_grad}


def test_published_ranks_give_36_million_adapter_parameters() -> None:
    with torch.device("meta"):
        teacher = create_teacher()
    unet, decoder = trained_counts(teacher.unet), trained_counts(teacher.autoencoder.decoder)
    assert (len(unet), sum(unet.values())) == (564, 34_125_056)
    assert (len(decoder), sum(decoder.values())) == (78, 2_050_672)
    frozen = sum(p.numel() for p in teacher.unet.parameters() if not p.requires_grad)
    assert frozen == 865_910_724
    frozen = sum(p.numel() for p in teacher.autoencoder.parameters() if not p.requires_grad)
    assert frozen == 83_653_863


def test_the_registry_counts_the_teacher_part_by_part() -> None:
    parts = {"unet": 865_910_724, "vae": 83_653_863, "adapters": 34_125_056 + 2_050_672}
    estimator = 4 * 9 * 64 + 64 + 16 * 2 * (64 * 9 * 64 + 64) + 64 * 9 * 8 + 8
    predictor = 8 * 9 * 64 + 64 + 4 * 2 * (64 * 9 * 64 + 64) + 64 * 9 + 1
    count = count_parameters("slimdiffsr-teacher")
    assert count.live == sum(parts.values()) + estimator + predictor == 987_229_668
    assert count.published is None


def test_the_registry_builds_a_teacher_from_plain_values(pair: tuple[Tensor, Tensor]) -> None:
    teacher = rssr.create_model(
        "slimdiffsr-teacher",
        unet=UNET,
        autoencoder=AUTOENCODER,
        unet_lora_rank=1,
        decoder_lora_rank=1,
        timestep="scalar",
    )
    assert isinstance(teacher, Teacher)
    assert teacher(pair[0]).sr.shape == pair[0].shape


@pytest.mark.parametrize(
    "values",
    [
        {"unet": {"block_channels": (8, 8)}},
        {"unet": {"block_out_channels": (8, 16)}},
        {"estimator": {"depth": 3}},
        {"unet_lora_rank": 0},
        {"timestep": "sometimes"},
        {"rank": 3},
    ],
)
def test_values_that_build_no_teacher_are_explained(values: dict[str, Any]) -> None:
    with torch.device("meta"), pytest.raises(ModelError, match="cannot be built"):
        rssr.create_model("slimdiffsr-teacher", **values)


def test_fresh_adapters_leave_the_pretrained_networks_unchanged(generator: torch.Generator) -> None:
    latent, prompt = torch.randn(1, 4, 8, 8, generator=generator), torch.zeros(1, 5, 12)
    teacher = tiny_teacher()
    before = {name.replace(".base_layer", ""): value for name, value in teacher.unet.state_dict().items()}
    plain = create_unet(**UNET)
    plain.load_state_dict({name: value for name, value in before.items() if "lora_" not in name})
    with torch.no_grad():
        expected = plain(latent, 300, prompt).sample
        assert torch.equal(teacher.unet(latent, 300, prompt).sample, expected)


def test_merged_adapters_compute_the_same(teacher: Teacher, pair: tuple[Tensor, Tensor]) -> None:
    with torch.no_grad():
        before = teacher(*pair)
        first = teacher.unet.conv_in.base_layer.weight.clone()
        merged = merge_adapters(teacher)(*pair)
    assert merged is not before
    assert not torch.equal(teacher.unet.conv_in.base_layer.weight, first)
    torch.testing.assert_close(merged.sr, before.sr, rtol=1e-4, atol=1e-4)  # sums in another order, all layers deep
    for level, value in before.features.items():
        torch.testing.assert_close(merged.features[level], value, rtol=1e-4, atol=1e-4)


def test_gradients_reach_all_adapters_and_the_predictor_and_nothing_frozen(
    teacher: Teacher, pair: tuple[Tensor, Tensor]
) -> None:
    output = teacher(*pair)
    (output.sr - pair[1]).abs().mean().backward()
    with_gradient = {name for name, p in teacher.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert with_gradient == {name for name, p in teacher.named_parameters() if p.requires_grad}
    assert all(p.grad.isfinite().all() for p in teacher.parameters() if p.grad is not None)


def test_the_predictor_learns_through_the_timestep_alone(teacher: Teacher, pair: tuple[Tensor, Tensor]) -> None:
    """Not only through the elementwise step: the UNet's time embedding passes gradients on."""
    step = teacher.denoise(*pair)
    step.noise_pred.square().mean().backward()  # type: ignore[no-untyped-call]
    gradient = teacher.predictor.get_parameter("head.weight").grad
    assert isinstance(gradient, Tensor)
    assert float(gradient.abs().max()) > 0


def test_half_precision_keeps_levels_and_gradients_finite(teacher: Teacher, pair: tuple[Tensor, Tensor]) -> None:
    with torch.no_grad():
        exact = teacher(*pair)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = teacher(*pair)
    assert output.signal_share.dtype == output.timestep.dtype == torch.float32
    assert (output.timestep - exact.timestep).abs().max().item() < 60
    (output.sr.float() - pair[1]).abs().mean().backward()
    assert all(p.grad.isfinite().all() for p in teacher.parameters() if p.grad is not None)
