from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import rssr
from rssr.methods import build_method
from rssr.methods.latent.image_paths import decode_hr_latent
from rssr.methods.paths import ImagePath, OffersPaths
from rssr.methods.phase import PhaseInputs
from rssr.models.latent.autoencoder import ResidualAutoencoder
from rssr.models.latent.network import LatentSR
from rssr.models.latent.resolver import LatentResolver
from rssr.scenes import generate_scene
from tests.rssr.methods.tiny_latent import changed, recorded_autoencoder, recorded_network, striped_batch, tiny_sections
from tests.rssr.methods.tiny_latent import train as train_phase

CPU = torch.device("cpu")
CODE_PHASES = {"ldcsr": "denoiser", "lcmsr": "consistency"}
BEFORE = ["condition code before refinement", "HR latent before refinement"]


def method_with(name: str, **changes: Any) -> OffersPaths:
    method = build_method(name, changed(tiny_sections(CODE_PHASES[name]), **changes))
    assert isinstance(method, OffersPaths)
    return method


@pytest.fixture(scope="module", params=CODE_PHASES)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Path]]:
    name = request.param
    method = build_method(name, tiny_sections(CODE_PHASES[name]))
    found: dict[str, Path] = {}
    torch.manual_seed(0)
    for phase_name in ("autoencoder", CODE_PHASES[name], "refinement", "deviation"):
        phase = method.build_phase(phase_name, PhaseInputs(found, CPU))
        train_phase(phase, striped_batch(), 5)
        found[phase_name] = tmp_path_factory.mktemp(phase_name)
        phase.export(found[phase_name])
    return name, found


def paths_of(method: OffersPaths, folders: dict[str, Path], product: str) -> dict[str, ImagePath]:
    return {path.name: path for path in method.image_paths(PhaseInputs(folders, CPU), product)}


def pair(scale: float, height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    hr = generate_scene(3, height, width)
    lr = hr[:: round(scale), :: round(scale)]
    return np.ascontiguousarray(lr[: int(height / scale), : int(width / scale)]), hr


def test_paths_are_those_of_the_product_and_of_the_published_recipe_before_it(
    trained: tuple[str, dict[str, Path]],
) -> None:
    name, folders = trained
    for product in ("refinement", "deviation"):
        assert list(paths_of(method_with(name), folders, product)) == ["condition code", "HR latent", *BEFORE]
    published = method_with(name, refinement=None, deviation=None)
    assert list(paths_of(published, folders, CODE_PHASES[name])) == ["condition code", "HR latent"]
    assert list(paths_of(method_with(name), folders, CODE_PHASES[name])) == ["condition code", "HR latent"]
    without = {phase: folder for phase, folder in folders.items() if phase != "autoencoder"}
    assert list(paths_of(method_with(name), without, "refinement")) == ["condition code", BEFORE[0]]


@pytest.mark.parametrize(("scale", "height", "width"), [(2.0, 64, 48), (3.4, 51, 34), (4.0, 44, 36)])
def test_the_condition_code_is_decoded_from_lr_alone_and_alike_each_time(
    trained: tuple[str, dict[str, Path]], scale: float, height: int, width: int
) -> None:
    name, folders = trained
    paths = paths_of(method_with(name), folders, "refinement")
    lr, hr = pair(scale, height, width)
    sr = paths["condition code"].run(lr, hr, scale)
    assert sr.shape == hr.shape
    assert np.array_equal(sr, paths["condition code"].run(lr, np.zeros_like(hr), scale))
    resolver = rssr.load_model(folders["refinement"]).resolver
    assert isinstance(resolver, LatentResolver)
    resolver.path = "condition"
    network_lr = torch.from_numpy(lr).permute(2, 0, 1)[None].float() / 127.5 - 1
    expected = ((resolver(network_lr, (height, width))[0].clamp(-1, 1) + 1) * 127.5).round().permute(1, 2, 0).numpy()
    assert np.abs(sr.astype(int) - expected).max() <= 1
    before = paths["condition code before refinement"].run(lr, hr, scale)
    assert not np.array_equal(sr, before)


@pytest.mark.parametrize(("scale", "height", "width"), [(2.0, 64, 48), (3.4, 51, 34), (4.0, 44, 36)])
def test_the_hr_latent_depends_on_hr_and_has_its_size(
    trained: tuple[str, dict[str, Path]], scale: float, height: int, width: int
) -> None:
    name, folders = trained
    path = paths_of(method_with(name), folders, "refinement")["HR latent"]
    lr, hr = pair(scale, height, width)
    sr = path.run(lr, hr, scale)
    assert sr.shape == hr.shape
    assert not np.array_equal(sr, path.run(lr, 255 - hr, scale))


def recorded() -> tuple[LatentSR, ResidualAutoencoder]:
    return recorded_network().eval(), recorded_autoencoder().eval()


def test_the_hr_latent_is_decoded_as_the_first_stage_does_where_nothing_is_padded() -> None:
    network, autoencoder = recorded()
    network.adopt_decoder(autoencoder)
    batch = striped_batch(4.0, 48)
    with torch.no_grad():
        mean, _ = autoencoder.encode(batch.lr, batch.hr)
        expected = autoencoder.decode(mean, batch.lr, (48, 48))
    torch.testing.assert_close(decode_hr_latent(network, autoencoder, batch.lr, batch.hr), expected, rtol=0, atol=1e-4)


def test_the_padding_of_odd_sizes_leaves_the_rest_alone() -> None:
    """What is cut off an image changes its result next to the cut; far from there the normalisation sees it alone."""
    network, autoencoder = recorded()
    network.adopt_decoder(autoencoder)
    batch = striped_batch(4.0, 96)
    whole = decode_hr_latent(network, autoencoder, batch.lr, batch.hr)
    part = decode_hr_latent(network, autoencoder, batch.lr[..., :23, :], batch.hr[..., :92, :])
    assert part.shape[2] == 92
    difference = (part - whole[..., :92, :]).abs()
    assert difference[..., :40, :].mean() < 0.1 * (whole - whole.mean()).abs().mean()
