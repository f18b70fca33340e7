import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rssr.degradation import DegradationConfig, degradation_preset, draw_degradation, lr_size
from rssr.degradation.draws import DegradationDraws, RoundDraws, TailDraws
from rssr.errors import DataError

_NUM_DRAWS = 5000
_MIN_P_VALUE = 1e-4  # each test would fail one correct sampler in 10,000; seeds are fixed

_CONFIGS = {kind: degradation_preset(kind) for kind in ("slimdiffsr", "real-esrgan")}
_Parts = list[tuple[RoundDraws, RoundDraws, TailDraws]]


def _parts(draws: DegradationDraws) -> tuple[RoundDraws, RoundDraws, TailDraws]:
    assert draws.first is not None
    assert draws.second is not None
    assert draws.tail is not None
    return draws.first, draws.second, draws.tail


@pytest.fixture(scope="module", params=sorted(_CONFIGS))
def drawn(request: pytest.FixtureRequest) -> tuple[DegradationConfig, _Parts]:
    config = _CONFIGS[request.param]
    return config, [_parts(draw_degradation(config, 4, seed, (512, 512))) for seed in range(_NUM_DRAWS)]


def _assert_share(num_hits: int, num_all: int, probability: float) -> None:
    assert stats.binomtest(num_hits, num_all, probability).pvalue > _MIN_P_VALUE, (num_hits / num_all, probability)


def _assert_uniform(values: Sequence[float], low: float, high: float) -> None:
    assert len(values) > 50
    assert low <= min(values)
    assert max(values) <= high
    assert stats.kstest(values, "uniform", args=(low, high - low)).pvalue > _MIN_P_VALUE


def test_kernel_kinds_have_their_published_shares(drawn: tuple[DegradationConfig, _Parts]) -> None:
    config, parts = drawn
    names = ("iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso")
    for index, settings_ in enumerate((config.first, config.second)):
        assert settings_ is not None
        kernels = [kernel for part in parts if (kernel := part[index].blur) is not None]  # type: ignore[union-attr]  # 0 and 1 are rounds
        _assert_share(len(kernels), len(parts), settings_.blur.probability)
        shares = Counter(kernel.kind for kernel in kernels)
        _assert_share(shares["sinc"], len(kernels), 0.1)
        for name, probability in zip(names, settings_.blur.kernel_probabilities, strict=True):
            _assert_share(shares[name], len(kernels), 0.9 * probability)


def test_kernel_parameters_fill_their_ranges(drawn: tuple[DegradationConfig, _Parts]) -> None:
    config, parts = drawn
    assert config.first is not None
    blur = config.first.blur
    kernels = [first.blur for first, _, _ in parts if first.blur is not None]
    gaussian = [kernel for kernel in kernels if kernel.kind != "sinc"]
    aniso = [kernel for kernel in gaussian if kernel.kind.endswith("aniso")]
    _assert_uniform([kernel.sigma_x for kernel in gaussian], *blur.sigma_range)
    _assert_uniform([kernel.sigma_y for kernel in aniso], *blur.sigma_range)
    _assert_uniform([kernel.theta for kernel in aniso], -math.pi, math.pi)
    assert all(kernel.sigma_x == kernel.sigma_y for kernel in gaussian if not kernel.kind.endswith("aniso"))
    sizes = Counter(kernel.size for kernel in kernels)
    assert sorted(sizes) == [7, 9, 11, 13, 15, 17, 19, 21]
    assert stats.chisquare(list(sizes.values())).pvalue > _MIN_P_VALUE


def test_betas_lie_below_and_above_one_equally_often(drawn: tuple[DegradationConfig, _Parts]) -> None:
    config, parts = drawn
    assert config.first is not None
    for prefix, limits in (
        ("generalized", config.first.blur.generalized_beta_range),
        ("plateau", config.first.blur.plateau_beta_range),
    ):
        betas = [one.blur.beta for one, _, _ in parts if one.blur is not None and one.blur.kind.startswith(prefix)]
        above = [beta for beta in betas if beta > 1]
        _assert_share(len(above), len(betas), 0.5)
        _assert_uniform(above, 1, limits[1])
        below = [beta for beta in betas if beta <= 1]
        if limits[0] == 1:
            assert set(below) == {1.0}
        else:
            _assert_uniform(below, limits[0], 1)


def test_small_sinc_kernels_keep_a_higher_cutoff(drawn: tuple[DegradationConfig, _Parts]) -> None:
    _, parts = drawn
    sincs = [one.blur for one, _, _ in parts if one.blur is not None and one.blur.kind == "sinc"]
    _assert_uniform([kernel.cutoff for kernel in sincs if kernel.size < 13], math.pi / 3, math.pi)
    _assert_uniform([kernel.cutoff for kernel in sincs if kernel.size >= 13], math.pi / 5, math.pi)


def test_resizes_follow_their_probabilities_and_ranges(drawn: tuple[DegradationConfig, _Parts]) -> None:
    config, parts = drawn
    for rounds, settings_ in (
        ([first for first, _, _ in parts], config.first),
        ([second for _, second, _ in parts], config.second),
    ):
        assert settings_ is not None
        low, high = settings_.resize_range
        factors = {"up": (1.0, high), "down": (low, 1.0)}
        for kind, probability in zip(("up", "down", "keep"), settings_.resize_probabilities, strict=True):
            chosen = [one.resize_factor for one in rounds if one.resize_kind == kind]
            _assert_share(len(chosen), len(rounds), probability)
            if kind == "keep":
                assert set(chosen) == {1.0}
            else:
                _assert_uniform(chosen, *factors[kind])
        modes = Counter(one.resize_mode for one in rounds)
        assert sorted(modes) == ["area", "bicubic", "bilinear"]
        assert stats.chisquare(list(modes.values())).pvalue > _MIN_P_VALUE


def test_noise_and_jpeg_follow_their_probabilities_and_ranges(drawn: tuple[DegradationConfig, _Parts]) -> None:
    config, parts = drawn
    for rounds, settings_ in (
        ([first for first, _, _ in parts], config.first),
        ([second for _, second, _ in parts], config.second),
    ):
        assert settings_ is not None
        assert settings_.jpeg_quality_range is not None
        gaussian = [one.noise.strength for one in rounds if one.noise.kind == "gaussian"]
        poisson = [one.noise.strength for one in rounds if one.noise.kind == "poisson"]
        _assert_share(len(gaussian), len(rounds), settings_.gaussian_probability)
        _assert_uniform(gaussian, *settings_.gaussian_sigma_range)
        _assert_uniform(poisson, *settings_.poisson_scale_range)
        _assert_share(sum(one.noise.gray for one in rounds), len(rounds), settings_.gray_probability)
        _assert_uniform([one.jpeg_quality or 0 for one in rounds], *settings_.jpeg_quality_range)
        assert len({one.noise.seed for one in rounds}) == len(rounds)


def test_tail_takes_either_order_and_mostly_filters(drawn: tuple[DegradationConfig, _Parts]) -> None:
    _, parts = drawn
    tails = [tail for _, _, tail in parts]
    _assert_share(sum(tail.jpeg_first for tail in tails), len(tails), 0.5)
    sincs = [tail.sinc for tail in tails if tail.sinc is not None]
    _assert_share(len(sincs), len(tails), 0.8)
    _assert_uniform([kernel.cutoff for kernel in sincs], math.pi / 3, math.pi)
    assert {kernel.size for kernel in sincs} == {7, 9, 11, 13, 15, 17, 19, 21}
    assert len({tail.resize_mode for tail in tails}) == 3


def test_decisions_are_independent_of_one_another(drawn: tuple[DegradationConfig, _Parts]) -> None:
    _, parts = drawn
    pairs = [
        [(first.noise.kind, second.noise.kind) for first, second, _ in parts],
        [(first.noise.kind, first.noise.gray) for first, _, _ in parts],
        [(first.resize_mode, second.resize_mode) for first, second, _ in parts],
        [(second.resize_kind, tail.jpeg_first) for _, second, tail in parts],
    ]
    for pair in pairs:
        rows, columns = (sorted({str(one[side]) for one in pair}) for side in (0, 1))
        counts = Counter((str(one), str(other)) for one, other in pair)
        table = [[counts[row, column] for column in columns] for row in rows]
        assert stats.chi2_contingency(table).pvalue > _MIN_P_VALUE


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), scale=st.floats(1, 8), side=st.integers(8, 600))
def test_draws_are_a_function_of_the_seed(seed: int, scale: float, side: int) -> None:
    config = _CONFIGS["slimdiffsr"]
    draws = draw_degradation(config, scale, seed, (side, side + 3))
    assert draws == draw_degradation(config, scale, seed, (side, side + 3))
    assert _parts(draws) == _parts(draw_degradation(config, 4, seed, (512, 512)))  # size and scale draw nothing
    assert _parts(draws) != _parts(draw_degradation(config, scale, seed + 1, (side, side + 3)))


def test_both_rounds_draw_their_own_noise() -> None:
    first, second, _ = _parts(draw_degradation(_CONFIGS["slimdiffsr"], 4, 5, (64, 64)))
    assert first.noise.seed != second.noise.seed


def test_draws_are_plain_values() -> None:
    draws = draw_degradation(_CONFIGS["slimdiffsr"], 4, 3, (64, 64))

    def leaves(value: object) -> list[object]:
        if isinstance(value, dict):
            return [leaf for item in value.values() for leaf in leaves(item)]
        return [leaf for item in value for leaf in leaves(item)] if isinstance(value, tuple) else [value]

    assert {type(leaf) for leaf in leaves(asdict(draws))} <= {int, float, str, bool, type(None)}


def test_second_size_counts_from_the_lr_size() -> None:
    for seed in range(50):
        draws = draw_degradation(_CONFIGS["slimdiffsr"], 3.4, seed, (100, 61))
        _, second, _ = _parts(draws)
        assert draws.second_size == (
            int(100 / 3.4 * second.resize_factor),
            int(61 / 3.4 * second.resize_factor),
        )


def test_bicubic_draws_nothing() -> None:
    draws = draw_degradation(degradation_preset("bicubic"), 4, 3, (64, 70))
    assert (draws.first, draws.second, draws.tail) == (None, None, None)
    assert draws.lr_size == (16, 17)


@pytest.mark.parametrize(("hr_size", "scale"), [((3, 40), 4.0), ((40, 7), 8.0), ((40, 40), 0.5), ((0, 0), 1.0)])
def test_sizes_without_an_lr_image_are_refused(hr_size: tuple[int, int], scale: float) -> None:
    with pytest.raises(DataError, match="scale"):
        lr_size(hr_size, scale)
