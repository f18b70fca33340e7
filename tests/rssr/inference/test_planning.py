import logging
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rssr.card import ModelCard
from rssr.errors import ConfigError, ModelError
from rssr.inference import super_resolve, super_resolve_scene
from rssr.inference.options import TilingOptions
from rssr.inference.planning import plan_draws, plan_scene
from rssr.models.loaded import LoadedModel, load_model
from rssr.models.registry import build_resolver, create_model
from rssr.tiling import SrGrid, output_size, plan_tiles
from rssr.weights.folder import save_model_folder
from tests.rssr.methods.tiny_latent import TINY_ARCHITECTURE

OPTIONS = TilingOptions(tile_size=64, halo=4).completed(None)


def card(scale_range: tuple[float, float] = (1.0, 8.0)) -> ModelCard:
    return ModelCard(
        name="ldcsr-tiny", method="ldcsr", bands=["red", "green", "blue"], scale_range=scale_range, licence="none"
    )


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    torch.manual_seed(0)
    network = create_model("ldcsr", **TINY_ARCHITECTURE).eval()
    return LoadedModel("ldcsr", build_resolver("ldcsr", network), network, {}, card())


@pytest.fixture(scope="module")
def bicubic() -> LoadedModel:
    return load_model("bicubic")


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (3, 30, 26), dtype=np.uint8)


@given(
    st.tuples(*[st.integers(65, 400)] * 2),
    st.integers(1, 20).flatmap(lambda q: st.tuples(st.integers(q, 8 * q), st.just(q))),
)
def test_tiles_begin_where_whole_lr_pixels_are_whole_latent_positions(
    model: LoadedModel, lr_size: tuple[int, int], fraction: tuple[int, int]
) -> None:
    scale = fraction[0] / fraction[1]
    options = TilingOptions(tile_size=64, halo=4).completed(None)
    exact = Fraction(*fraction)
    spacing = SrGrid(8, exact).lr_spacing
    if spacing > 56:
        with pytest.raises(ConfigError, match=f"at least {8 + spacing}"):
            plan_scene(model, lr_size, scale, options)
        return
    plan = plan_scene(model, lr_size, scale, options)
    assert plan.sr_size == output_size(lr_size, scale)
    for spans, length in ((plan.rows, plan.sr_size[0]), (plan.columns, plan.sr_size[1])):
        total = np.zeros(length)
        for span in spans:
            assert span.sr[0] % 8 == 0
            assert span.sr[0] == span.lr[0] * exact
            total[slice(*span.sr)] += span.weight
        np.testing.assert_allclose(total, 1, atol=1e-6)


def test_usual_scales_need_few_pixels() -> None:
    spacings = {scale: SrGrid(8, Fraction(scale)).lr_spacing for scale in ("2", "4", "8", "17/5", "3", "159/20")}
    assert spacings == {"2": 4, "4": 2, "8": 1, "17/5": 40, "3": 8, "159/20": 160}


def test_odd_scales_are_rounded_for_cut_scenes_alone(model: LoadedModel, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert plan_scene(model, (60, 60), 3.4142, OPTIONS).sr_size == output_size((60, 60), 3.4142)
    assert caplog.text == ""
    wide = TilingOptions(tile_size=200, halo=4).completed(None)
    with caplog.at_level(logging.WARNING):
        plan = plan_scene(model, (300, 60), 3.4142, wide)
    assert plan.sr_size == output_size((300, 60), 58 / 17)
    assert "58/17" in caplog.text
    assert "300 or more" in caplog.text


def test_scales_of_fractions_are_kept_without_a_word(model: LoadedModel, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert plan_scene(model, (300, 60), 3.4, OPTIONS).sr_size == (1020, 204)
    assert caplog.text == ""


def test_rounded_scales_stay_within_the_card(model: LoadedModel) -> None:
    narrow = LoadedModel("ldcsr", model.resolver, model.network, {}, card((1.0, 7.9999)))
    plan = plan_scene(narrow, (300, 60), 7.9999, TilingOptions(tile_size=290, halo=4).completed(None))
    assert plan.sr_size[0] <= output_size((300, 60), 8.0)[0]


def test_tiles_that_nobody_asked_for_grow_to_what_a_scale_needs(model: LoadedModel) -> None:
    small = replace(model, card=card().model_copy(update={"tile_size": 64, "halo": 8}))
    plan = plan_scene(small, (300, 60), 69 / 20, TilingOptions().completed(small.card))
    assert plan.sr_size == (1035, 207)
    assert [span.lr for span in plan.rows] == [(0, 176), (160, 300)]
    with pytest.raises(ConfigError, match="at least 176"):
        plan_scene(small, (300, 60), 69 / 20, TilingOptions(tile_size=64).completed(small.card))


def test_other_models_are_cut_as_ever(bicubic: LoadedModel) -> None:
    plan = plan_scene(bicubic, (300, 100), 3.4142, OPTIONS)
    usual = plan_tiles((300, 100), output_size((300, 100), 3.4142), 64, 4)
    assert [span.lr for span in plan.rows] == [span.lr for span in usual.rows]


def test_numbers_of_samples(model: LoadedModel, bicubic: LoadedModel) -> None:
    assert plan_draws(model, 3, None, with_deviation=False).num_samples == 1
    assert plan_draws(model, 3, None, with_deviation=True).num_samples == 8
    assert plan_draws(bicubic, 3, 1, with_deviation=False).seed == 3
    for chosen, seed, samples, deviation, reason in [
        (bicubic, 0, 2, False, "would be equal"),
        (model, 0, 0, False, "0 samples"),
        (model, 0, 1, True, "no deviation"),
        (model, -1, None, False, "seed is -1"),
    ]:
        with pytest.raises(ModelError, match=reason):
            plan_draws(chosen, seed, samples, with_deviation=deviation)


@pytest.mark.parametrize("method", ["ldcsr", "lcmsr"])
def test_samples_of_a_picture_give_mean_and_deviation(method: str, model: LoadedModel, picture: np.ndarray) -> None:
    if method == "lcmsr":
        model = replace(model, name=method, resolver=build_resolver(method, model.network))
    sr, deviation = super_resolve(picture, model, 2.5, num_samples=8, return_uncertainty=True)
    assert sr.shape == deviation.shape == (3, 75, 65)
    assert sr.dtype == np.uint8
    assert deviation.dtype == np.float32
    assert deviation.mean() > 0
    assert np.array_equal(sr, super_resolve(picture, model, 2.5, num_samples=8))
    assert not np.array_equal(sr, super_resolve(picture, model, 2.5, num_samples=8, seed=1))


def test_scene_in_tiles_is_smooth_and_has_the_same_noise(model: LoadedModel, picture: np.ndarray) -> None:
    whole = super_resolve(picture, model, 4.0).astype(float)
    tiled = super_resolve(picture, model, 4.0, tile_size=20, halo=4).astype(float)
    other = super_resolve(picture, model, 4.0, seed=1).astype(float)
    # Norms look at the whole tile, so values differ a little; with other noise they would differ as seeds do.
    assert np.abs(tiled - whole).mean() < 0.6 * np.abs(other - whole).mean()


def test_a_file_is_super_resolved_with_its_uncertainty(model: LoadedModel, picture: np.ndarray, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(picture.transpose(1, 2, 0)).save(tmp_path / "lr.png")
    outputs = [tmp_path / name for name in ("sr.tif", "deviation.tif")]
    report = super_resolve_scene(
        tmp_path / "lr.png", outputs[0], model, 3.4, num_samples=2, seed=5, uncertainty_path=outputs[1]
    )
    assert report.sr_size == (102, 88)
    assert all(path.is_file() for path in outputs)


@pytest.mark.parametrize(
    ("scale", "bands", "reason"),
    [(8.5, 3, "scale of 1 to 8, not 8.5"), (0.5, 3, "not an enlargement"), (2.0, 4, "4 bands")],
)
def test_what_the_card_excludes_is_refused(model: LoadedModel, scale: float, bands: int, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        super_resolve(np.zeros((bands, 8, 8), np.uint8), model, scale)


def test_model_folders_keep_the_method(model: LoadedModel, picture: np.ndarray, tmp_path: Path) -> None:
    network = model.network
    assert network is not None
    save_model_folder(tmp_path / "model", "ldcsr", network.architecture, network, card())
    loaded = load_model(tmp_path / "model")
    assert np.array_equal(super_resolve(picture, loaded, 2.0), super_resolve(picture, model, 2.0))
