from rssr.degradation import degradation_preset, describe_draws, draw_degradation
from rssr.degradation.draws import DegradationDraws, KernelDraw, NoiseDraw, RoundDraws, TailDraws

_DRAWS = DegradationDraws(
    seed=1,
    scale=4,
    hr_size=(512, 256),
    lr_size=(128, 64),
    first=RoundDraws(
        KernelDraw("aniso", 13, 1.2, 0.4, 0.5), "down", 0.62, "bilinear", NoiseDraw("gaussian", 7.1, True, 3), 81.4
    ),
    second=RoundDraws(None, "down", 0.75, "area", NoiseDraw("poisson", 0.5, False, 4), 90.0),
    tail=TailDraws(True, "bicubic", KernelDraw("sinc", 21, cutoff=2.5)),
)


def test_description_names_every_step_in_order() -> None:
    assert describe_draws(_DRAWS) == (
        "x4: blur aniso 13 px sigma 1.20/0.40 at 0.50 rad > x0.62 bilinear > gaussian 7.1/255 gray > JPEG 81"
        " > to 48x96 area > poisson 0.50 colour > JPEG 90 > to 64x128 bicubic > sinc 21 px cutoff 2.50"
    )


def test_plain_bicubic_says_so() -> None:
    draws = draw_degradation(degradation_preset("bicubic"), 3.4, 0, (100, 100))
    assert describe_draws(draws) == "x3.4: bicubic, antialiased"


def test_descriptions_are_single_lines_and_differ_between_seeds() -> None:
    config = degradation_preset("slimdiffsr")
    lines = {describe_draws(draw_degradation(config, 4, seed, (64, 64))) for seed in range(50)}
    assert len(lines) == 50
    assert not any("\n" in line for line in lines)
