"""How the trained model compares with simple baselines, as parts of a report."""

from collections.abc import Iterable, Mapping, Sequence

from pipelines.evaluate import EvaluatedImage, Evaluation
from pipelines.experiment.config import JobConfig
from pipelines.report import Column, KeyFigure, Part, key_figures, notice, panels, prose, table
from pipelines.report.table import Cell
from rssr.images import RgbImage

Means = Mapping[str, Mapping[str, float]]

_TIE_DB = 0.005


def headline(evaluation: Evaluation, config: JobConfig, others: Sequence[KeyFigure]) -> Part:
    """The trained model's figures at the product's scale, or the measured one nearest to it, and others beside them."""
    scale = min(evaluation.scales, key=lambda measured: abs(measured - config.product_scale))
    means = evaluation.means(scale)
    own, bicubic = means[_model(means)], means["bicubic"]
    at_scale = f" at scale {scale:g}" if len(evaluation.scales) > 1 else ""
    return key_figures(
        [
            KeyFigure(
                f"{own['psnr_y_db']:.2f} dB", f"held-out PSNR-Y{at_scale}", f"bicubic {bicubic['psnr_y_db']:.2f} dB"
            ),
            KeyFigure(f"{own['ssim_y']:.4f}", f"held-out SSIM-Y{at_scale}", f"bicubic {bicubic['ssim_y']:.4f}"),
            *others,
        ]
    )


def comparison(evaluation: Evaluation, config: JobConfig) -> Iterable[Part]:
    """Who is better, and the figures of all models at all scales."""
    by_scale = {scale: evaluation.means(scale) for scale in evaluation.scales}
    always = all(_difference(means) > 0 for means in by_scale.values())
    yield notice(verdict(by_scale), "good" if always else "warning")
    yield from _tables(by_scale)
    num_images = len({row["key"] for row in evaluation.rows})
    yield prose(
        f"Means over {num_images} held-out images at {in_words(evaluation.scales)}, "
        f"degraded with '{config.data.degradation.kind}', border of {config.evaluation.border} pixels cut. "
        "The untrained model has the trained one's architecture with random weights."
    )


def example_panels(examples: Iterable[EvaluatedImage], scales: Sequence[float]) -> Part:
    """A few held-out images and what became of them."""
    return panels([_panel_row(image, scales) for image in examples])


def verdict(by_scale: Mapping[float, Means]) -> str:
    """Which of model and bicubic is better on held-out PSNR-Y, in words."""
    if len(by_scale) == 1:
        [means] = by_scale.values()
        return _verdict_at_one_scale(means)
    model = _model(next(iter(by_scale.values())))
    differences = {scale: _difference(means) for scale, means in by_scale.items()}
    winners = {
        f"the trained {model}": [scale for scale, difference in differences.items() if difference >= _TIE_DB],
        "bicubic": [scale for scale, difference in differences.items() if difference <= -_TIE_DB],
        "neither": [scale for scale, difference in differences.items() if abs(difference) < _TIE_DB],
    }
    found = "; ".join(f"{winner} at {in_words(scales)}" for winner, scales in winners.items() if scales)
    return f"Better on held-out PSNR-Y: {found}."


def in_words(scales: Sequence[float]) -> str:
    """One scale or several, e.g. `scales 2, 3.4 and 4`."""
    *first, last = (f"{scale:g}" for scale in scales)
    return f"scales {', '.join(first)} and {last}" if first else f"scale {last}"


def _verdict_at_one_scale(means: Means) -> str:
    model = _model(means)
    own, bicubic = means[model]["psnr_y_db"], means["bicubic"]["psnr_y_db"]
    difference = own - bicubic
    if abs(difference) < _TIE_DB:
        return f"The trained {model} and bicubic are equal on held-out PSNR-Y ({own:.2f} dB)."
    winner, loser = (f"The trained {model}", "bicubic") if difference > 0 else ("Bicubic", f"the trained {model}")
    high, low = max(own, bicubic), min(own, bicubic)
    return f"{winner} wins: {high:.2f} dB against {low:.2f} dB of {loser} on held-out PSNR-Y."


def _tables(by_scale: Mapping[float, Means]) -> Iterable[Part]:
    if len(by_scale) == 1:
        [means] = by_scale.values()
        columns = [
            Column("model", "Model"),
            Column("psnr_y_db", "PSNR-Y, dB", "highest", 2),
            Column("ssim_y", "SSIM-Y", "highest", 4),
        ]
        yield table(columns, [{"model": model, **values} for model, values in means.items()])
        return
    for metric, title, digits in (("psnr_y_db", "PSNR-Y, dB", 2), ("ssim_y", "SSIM-Y", 4)):
        columns = [Column("model", "Model")]
        columns += [Column(f"{scale:g}", f"Scale {scale:g}", "highest", digits) for scale in by_scale]
        models = next(iter(by_scale.values()))
        rows: list[dict[str, Cell]] = [
            {"model": model, **{f"{scale:g}": means[model][metric] for scale, means in by_scale.items()}}
            for model in models
        ]
        yield table(columns, rows, title)


def _panel_row(image: EvaluatedImage, scales: Sequence[float]) -> tuple[str, dict[str, RgbImage]]:
    model = next(reversed(image.sr))
    shown = {"LR": image.lr, "bicubic": image.sr["bicubic"], "untrained": image.sr["untrained"]}
    label = f"{image.key}, scale {image.scale:g}" if len(scales) > 1 else image.key
    return label, {**shown, model: image.sr[model], "HR": image.hr}


def _difference(means: Means) -> float:
    """By how much the trained model's PSNR-Y exceeds bicubic's, dB."""
    return means[_model(means)]["psnr_y_db"] - means["bicubic"]["psnr_y_db"]


def _model(means: Means) -> str:
    """The trained model is measured last."""
    return next(reversed(list(means)))
