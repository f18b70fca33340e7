import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rssr.diffusion.noise import NoiseOrigin, NoiseSource
from rssr.diffusion.sampling import Draw, Predict
from rssr.errors import ModelError
from rssr.methods.lcmsr.inference import LCMSRResolver
from rssr.methods.ldcsr.inference import LDCSRResolver
from rssr.models.latent.network import LatentSR
from rssr.models.latent.resolver import Path
from rssr.models.resolver import DeviationResolver, Draws, SamplingResolver, TilePlace
from rssr.seeds import derive_seed
from rssr.tiling import output_size
from tests.rssr.methods.tiny_latent import TINY_ARCHITECTURE

CONSISTENCY = {"num_timesteps": 50, "beta_start": 0.0015, "beta_end": 0.0155}


@pytest.fixture(scope="module")
def network() -> LatentSR:
    torch.manual_seed(3)
    return LatentSR(**TINY_ARCHITECTURE).eval()


@pytest.fixture(scope="module")
def consistent() -> LatentSR:
    torch.manual_seed(3)
    return LatentSR(**TINY_ARCHITECTURE, **CONSISTENCY, prediction="sample").eval()


@pytest.fixture(scope="module")
def local_network() -> LatentSR:
    return localised(LatentSR(**TINY_ARCHITECTURE))


def localised(network: LatentSR) -> LatentSR:
    """The network without anything that looks at a whole image: norms, gates, attention."""
    torch.manual_seed(4)
    network = LatentSR(network.values).eval()
    for module in list(network.modules()):
        for name, part in module.named_children():
            if isinstance(part, nn.GroupNorm) or name in ("gate", "mid_attention"):
                setattr(module, name, nn.Identity())
    network.denoiser.mid_attention = nn.Identity()
    return network


@settings(max_examples=90, deadline=None)
@given(
    st.tuples(*[st.integers(1, 21)] * 2),
    st.floats(1, 8) | st.fractions(1, 8, max_denominator=20).map(float),
    st.sampled_from(["ldcsr", "lcmsr", "condition"]),
)
def test_any_size_and_scale_gives_exactly_the_requested_size(
    network: LatentSR, consistent: LatentSR, lr_size: tuple[int, int], scale: float, kind: str
) -> None:
    size = output_size(lr_size, scale)
    assert all(abs(side - scale * lr_side) <= 0.5 + 1e-9 for side, lr_side in zip(size, lr_size, strict=True))
    path: Path = "condition" if kind == "condition" else "sampled"
    resolver = LCMSRResolver(consistent) if kind == "lcmsr" else LDCSRResolver(network, path=path)
    sr = resolver(torch.rand(1, 3, *lr_size) * 2 - 1, size)
    assert sr.shape == (1, 3, *size)
    assert sr.dtype == torch.float32
    assert torch.isfinite(sr).all()


def test_consistency_and_fixed_decoders_give_the_requested_size_too() -> None:
    fixed = LatentSR(**TINY_ARCHITECTURE, **CONSISTENCY, decoder="fixed", prediction="sample").eval()
    for lr_size in ((1, 1), (3, 7), (10, 2)):
        size = output_size(lr_size, 4)
        assert LCMSRResolver(fixed)(torch.zeros(2, 3, *lr_size), size).shape == (2, 3, *size)
    with pytest.raises(ModelError, match="not 4 times"):
        LCMSRResolver(fixed)(torch.zeros(1, 3, 5, 5), (10, 10))


def test_resolvers_draw_and_deviate(network: LatentSR) -> None:
    resolver = LDCSRResolver(network)
    assert isinstance(resolver, SamplingResolver)
    assert isinstance(resolver, DeviationResolver)
    assert resolver.sr_grid == 8
    assert resolver.gives_deviation
    assert not LDCSRResolver(network, path="condition").gives_deviation


def test_resolvers_run_in_the_networks_type() -> None:
    network = LatentSR(**TINY_ARCHITECTURE).to(torch.bfloat16).eval()
    sr, deviation = LDCSRResolver(network).with_deviation(torch.rand(1, 3, 5, 4), (17, 14))
    assert sr.dtype == deviation.dtype == torch.float32
    assert torch.isfinite(sr).all()


def test_seed_decides_the_image(network: LatentSR, generator: torch.Generator) -> None:
    lr = torch.rand(1, 3, 6, 6, generator=generator)
    first, again, other = (LDCSRResolver(network, draws=Draws(seed))(lr, (20, 20)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 1e-4


def test_mean_and_deviation_are_those_of_single_samples(network: LatentSR, generator: torch.Generator) -> None:
    lr = torch.rand(2, 3, 6, 5, generator=generator)
    resolver = LDCSRResolver(network, draws=Draws(9, 5))
    with torch.no_grad():
        single = torch.stack([network.decode(z, lr, (18, 15), None) for z in _latents(resolver, lr, (18, 15))])
    mean, deviation = resolver.with_deviation(lr, (18, 15))
    torch.testing.assert_close(mean, resolver(lr, (18, 15)))
    assert (deviation > 0).any()
    assert single.shape[0] == 5
    torch.testing.assert_close(mean, single.mean(0), atol=0.05, rtol=0.05)  # latents cover the padded image there
    torch.testing.assert_close(deviation.mean(), single.std(0).mean(), atol=0.01, rtol=0.2)


def test_deviation_is_calibrated_by_the_architecture(network: LatentSR, generator: torch.Generator) -> None:
    lr = torch.rand(1, 3, 4, 4, generator=generator)
    calibrated = LatentSR(**TINY_ARCHITECTURE, deviation_factor=2.0, deviation_floor=0.1).eval()
    calibrated.load_state_dict(network.state_dict())
    _, plain = LDCSRResolver(network).with_deviation(lr, (16, 16))
    _, wider = LDCSRResolver(calibrated).with_deviation(lr, (16, 16))
    torch.testing.assert_close(wider, torch.sqrt(4 * plain**2 + 0.01))


def test_condition_path_needs_no_noise_and_has_no_deviation(network: LatentSR, generator: torch.Generator) -> None:
    lr = torch.rand(1, 3, 5, 5, generator=generator)
    images = [LDCSRResolver(network, path="condition", draws=Draws(seed))(lr, (20, 20)) for seed in (1, 2)]
    assert torch.equal(*images)
    with pytest.raises(ModelError, match="draws nothing"):
        LDCSRResolver(network, path="condition").with_deviation(lr, (20, 20))


@pytest.mark.parametrize(
    ("size", "reason"),
    [((10, 40), "contradicts"), ((4, 10), "smaller than the image"), ((23, 20), "contradicts")],
)
def test_contradicting_sizes_are_refused(network: LatentSR, size: tuple[int, int], reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        LDCSRResolver(network)(torch.zeros(1, 3, 10, 10), size)


def test_other_bands_paths_and_places_are_refused(network: LatentSR) -> None:
    with pytest.raises(ModelError, match="1 bands, but it takes 3"):
        LDCSRResolver(network)(torch.zeros(1, 1, 4, 4), (8, 8))
    with pytest.raises(ModelError, match="no path 'mean'"):
        LDCSRResolver(network, path="mean")  # type: ignore[arg-type]  # what is tested
    with pytest.raises(ModelError, match="multiples of 8"):
        LDCSRResolver(network).placed([TilePlace((1, 0), (4, 0), (9, 9), (36, 36))], Draws())


@pytest.mark.parametrize(
    ("scale", "scene", "start"), [(4.0, 330, 42), (3.4, 400, 40), (3.4, 401, 120), (2.0, 600, 44), (8.0, 160, 3)]
)
def test_a_tile_away_from_its_borders_is_the_scene_there(
    scale: float, scene: int, start: int, local_network: LatentSR, generator: torch.Generator
) -> None:
    lr = torch.rand(1, 3, scene, 4, generator=generator) * 2 - 1
    height, width = output_size((scene, 4), scale)
    first = round(start * scale)
    place = TilePlace((start, 0), (first, 0), (scene, 4), (height, width), usual_rows=height)
    for path, seen in (("sampled", 700), ("condition", 250)):  # about the receptive field, SR rows
        resolver = LDCSRResolver(local_network, path=path, draws=Draws(seed=6))
        whole = resolver(lr, (height, width))
        part = resolver.placed([place], Draws(seed=6))(lr[:, :, start:], (height - first, width))
        assert part.shape[2] > seen
        difference = (part[:, :, seen:] - whole[:, :, first + seen :]).abs().max().item()
        assert difference < 5e-4 * whole.std().item(), f"{path}: {difference}"  # float32 places of some 1000 rows


def test_a_tile_of_the_other_method_is_the_scene_there_too(consistent: LatentSR, generator: torch.Generator) -> None:
    resolver = LCMSRResolver(localised(consistent), num_steps=2, draws=Draws(seed=6))
    lr = torch.rand(1, 3, 4, 300, generator=generator) * 2 - 1
    whole = resolver(lr, (14, 1020))
    place = TilePlace((0, 40), (0, 136), (4, 300), (14, 1020), usual_rows=14)
    part = resolver.placed([place], Draws(seed=6))(lr[..., 40:], (14, 884))
    assert (part[..., 600:] - whole[..., 736:]).abs().max() < 5e-4 * whole.std()


def test_tiles_of_one_batch_are_as_if_alone(network: LatentSR, generator: torch.Generator) -> None:
    lr = torch.rand(3, 3, 10, 10, generator=generator)
    places = [TilePlace((origin, 0), (round(origin * 3.4), 0), (101, 10), (343, 34)) for origin in (0, 40, 80)]
    resolver = LDCSRResolver(network)
    together = resolver.placed(places, Draws(2))(lr, (34, 34))
    for index, place in enumerate(places):
        alone = resolver.placed([place], Draws(2))(lr[index : index + 1], (34, 34))
        torch.testing.assert_close(together[index : index + 1], alone, atol=1e-5, rtol=1e-4)


def test_noise_is_that_of_the_places(network: LatentSR) -> None:
    asked = []

    class Watched(LDCSRResolver):
        def sample(self, predict: Predict, draw: Draw) -> Tensor:
            asked.append(draw(0))
            return draw(0)

    place = TilePlace((10, 4), (40, 16), (30, 30), (120, 120))
    Watched(network).placed([place], Draws(5))(torch.zeros(1, 3, 10, 10), (40, 40))
    scene = NoiseSource(derive_seed(5, "sample", 0)).draw(0, (4, 15, 15), NoiseOrigin())
    assert torch.equal(asked[0][0], scene[:, 5:10, 2:7])


def _latents(resolver: LDCSRResolver, lr: Tensor, size: tuple[int, int]) -> list[Tensor]:
    return list(resolver.latents(lr, size))
