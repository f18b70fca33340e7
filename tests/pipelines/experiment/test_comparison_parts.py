import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipelines.evaluation.comparison import EvaluatedImage, Evaluation
from pipelines.experiment.comparison_parts import comparison, example_panels, headline, in_words, verdict
from pipelines.experiment.slimdiffsr import SlimDiffSRJobConfig
from pipelines.report import KeyFigure
from rssr.configuration import load_config

TINY = Path(__file__).parents[2] / "data" / "tiny_slimdiffsr.yaml"


def config(*overrides: str) -> SlimDiffSRJobConfig:
    return load_config(SlimDiffSRJobConfig, TINY, overrides)


def evaluation(figures: Mapping[float, tuple[float, float]], spread_db: float = 0.0, num_images: int = 1) -> Evaluation:
    """PSNR of ours and of bicubic by scale; with several images, their difference varies by `spread_db`."""
    rows: list[dict[str, float | str]] = []
    for scale, (own, bicubic) in figures.items():
        for number in range(num_images):
            shift = spread_db * (1 if number % 2 else -1)
            for model, value in (("bicubic", bicubic), ("ours", own + shift)):
                rows.append(
                    {"key": f"{number}", "model": model, "scale": scale, "psnr_y_db": value, "ssim_y": value / 100}
                )
    return Evaluation(rows)


def text(parts: object) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", str(parts)).split())


def test_verdict_names_the_winner_and_both_figures() -> None:
    assert verdict(evaluation({4.0: (28.5, 28.0)})) == (
        "The trained ours wins: 28.50 dB against 28.00 dB of bicubic on held-out PSNR-Y."
    )
    assert verdict(evaluation({4.0: (27.0, 28.0)}, 0.1, 10)) == (
        "Bicubic wins: 28.00 dB against 27.00 dB of the trained ours on held-out PSNR-Y "
        "(paired difference -1.00 dB, 95 % interval -1.08 to -0.92)."
    )


def test_no_winner_is_named_where_the_interval_holds_zero() -> None:
    expected = "No clear difference between the trained ours (28.10 dB) and bicubic (28.00 dB) on held-out PSNR-Y"
    assert verdict(evaluation({4.0: (28.1, 28.0)}, 1.0, 10)).startswith(expected)
    assert "wins" in verdict(evaluation({4.0: (28.1, 28.0)}, 0.01, 10))
    assert verdict(evaluation({4.0: (28.001, 28.0)}, 0.0, 10)).startswith("No clear difference")
    assert verdict(evaluation({4.0: (28.001, 28.0)})).startswith("No clear difference")


def test_verdict_over_several_scales_names_the_winner_at_each() -> None:
    found = verdict(evaluation({2.0: (30, 31), 3.4: (28, 27), 4.0: (27, 26), 8.0: (22, 22)}, 0.1, 10))
    assert found == (
        "Better on held-out PSNR-Y: the trained ours at scales 3.4 and 4; bicubic at scale 2; "
        "neither clearly at scale 8."
    )
    assert verdict(evaluation({2.0: (31, 30), 4.0: (27, 26)})) == (
        "Better on held-out PSNR-Y: the trained ours at scales 2 and 4."
    )


def test_the_table_gives_each_models_difference_from_bicubic() -> None:
    shown = text("".join(comparison(evaluation({4.0: (28.5, 28.0)}, 0.1, 10), config())))
    assert "bicubic 28.00 – 0.2800 ours 28.50 best +0.50 ± 0.08 0.2850 best" in shown  # noqa: RUF001  # a dash


def test_scales_in_words() -> None:
    assert in_words([4.0]) == "scale 4"
    assert in_words([2.0, 3.4]) == "scales 2 and 3.4"
    assert in_words((2.0, 3.4, 4.0, 8.0)) == "scales 2, 3.4, 4 and 8"


def test_each_scale_has_a_column_with_its_own_best_value() -> None:
    figures = evaluation({2.0: (30.0, 31.0), 3.4: (28.5, 27.25)})
    parts = list(comparison(figures, config("data.scale=[1, 4]")))
    html = "".join(parts)
    assert html.count("<table>") == 3
    best = re.findall(r"<strong>([^<]+)</strong>", html)
    assert best == ["31.00", "28.50", "0.3100", "0.2850"]
    assert "Scale 2" in html
    assert "Scale 3.4" in html
    assert "1 held-out images at scales 2 and 3.4" in text(html)
    assert "notice-warning" in html, "it does not win everywhere"


def test_differences_from_bicubic_are_told_at_each_scale() -> None:
    figures = evaluation({2.0: (30.0, 31.0), 3.4: (28.5, 27.25)}, 0.1, 10)
    shown = text("".join(comparison(figures, config("data.scale=[1, 4]"))))
    assert "PSNR-Y beside bicubic, dB Model Scale 2 Scale 3.4 ours -1.00 ± 0.08 +1.25 ± 0.08" in shown


PATHS = {"short way": "through one layer alone", "HR latent": "which sees the HR image"}


def with_paths(gains: Mapping[str, float], num_images: int = 10) -> Evaluation:
    """Bicubic at 30 dB, paths at so much more with a little spread, ours a decibel above it."""
    rows: list[dict[str, float | str]] = []
    for scale in (2.0, 3.4):
        for number in range(num_images):
            shift = 0.1 if number % 2 else -0.1
            values = {"bicubic": 30.0, **{name: 30 + gain + shift for name, gain in gains.items()}, "ours": 31 + shift}
            for model, value in values.items():
                rows.append({"key": f"{number}", "model": model, "scale": scale, "psnr_y_db": value, "ssim_y": 0.5})
    return Evaluation(rows, paths={name: PATHS[name] for name in gains})


def test_the_verdict_says_of_each_further_path_how_it_compares_and_the_model_stays_the_trained_one() -> None:
    found = verdict(with_paths({"short way": -1.0, "HR latent": 0.01}))
    assert found == (
        "Better on held-out PSNR-Y: the trained ours at scales 2 and 3.4. "
        "Short way against bicubic: worse at scale 2, -1.00 dB (95 % interval -1.08 to -0.92); "
        "worse at scale 3.4, -1.00 dB (95 % interval -1.08 to -0.92). "
        "HR latent against bicubic: no clear difference at scale 2, +0.01 dB (95 % interval -0.07 to +0.09); "
        "no clear difference at scale 3.4, +0.01 dB (95 % interval -0.07 to +0.09)."
    )
    assert "better at scale 2, +0.80 dB; better at scale 3.4" in verdict(with_paths({"HR latent": 0.9}, num_images=1))


def test_further_paths_have_rows_and_are_explained() -> None:
    shown = text("".join(comparison(with_paths({"HR latent": 3.0}), config("data.scale=[1, 4]"))))
    assert "HR latent +3.00 ± 0.08 +3.00 ± 0.08" in shown
    assert "Further paths through the trained networks, beside the ours as it runs: HR latent: which sees" in shown
    assert "Further paths" not in text("".join(comparison(evaluation({2.0: (30, 31)}), config("data.scale=2"))))


def test_panels_show_further_paths_between_baselines_and_model() -> None:
    tiny = np.zeros((4, 4, 3), np.uint8)
    models = dict.fromkeys(("constant colour", "bicubic", "untrained", "HR latent", "ours"), tiny)
    shown = text(example_panels([EvaluatedImage("a.png", tiny, tiny, models, 3.4)], (3.4,)))
    assert "LR bicubic untrained HR latent ours HR" in shown


def test_winning_at_every_scale_is_good() -> None:
    assert "notice-good" in "".join(comparison(evaluation({2.0: (32, 31), 4.0: (28, 27)}), config("data.scale=[1, 4]")))
    assert "notice-good" in "".join(comparison(evaluation({4.0: (28, 27)}), config()))
    assert "notice-warning" in "".join(comparison(evaluation({4.0: (27, 28)}), config()))


def test_the_headline_is_at_the_products_scale_and_says_so() -> None:
    figures = evaluation({2.0: (30, 31), 3.4: (28.5, 27.25), 4.0: (27, 26)})
    shown = text(headline(figures, config("data.scale=[1, 4]", "product.scale=3.3"), [KeyFigure("7", "steps")]))
    assert "28.50 dB" in shown
    assert "held-out PSNR-Y at scale 3.4" in shown
    assert "steps 7" in shown
    alone = text(headline(evaluation({4.0: (27, 26)}), config(), []))
    assert "27.00 dB" in alone
    assert "at scale" not in alone


def test_examples_of_several_scales_tell_theirs() -> None:
    tiny = np.zeros((4, 4, 3), np.uint8)
    models = dict.fromkeys(("constant colour", "bicubic", "untrained", "ours"), tiny)
    image = EvaluatedImage("a.png", tiny, tiny, models, 3.4)
    assert "a.png, scale 3.4" in example_panels([image], (2.0, 3.4))
    one = example_panels([image], (3.4,))
    assert "a.png" in one
    assert "scale" not in text(one)
