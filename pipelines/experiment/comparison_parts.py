"""How the trained model compares with simple baselines, as parts of a report."""

from collections.abc import Iterable, Sequence

from pipelines.evaluation.comparison import EvaluatedImage, Evaluation
from pipelines.experiment.config import JobConfig
from pipelines.report import Column, KeyFigure, Part, key_figures, notice, panels, prose, table
from pipelines.report.table import Cell
from rssr.images import RgbImage
from rssr.metrics.paired import PairedDifference

_TIE_DB = 0.005
_OWN, _BICUBIC, _NEITHER = "own", "bicubic", "neither"
_CONSTANT = "constant colour"  # shows nothing


def headline(evaluation: Evaluation, config: JobConfig, others: Sequence[KeyFigure]) -> Part:
    """The trained model's figures at the product's scale, or the measured one nearest to it, and others beside them."""
    scale = min(evaluation.scales, key=lambda measured: abs(measured - config.product_scale))
    means = evaluation.means(scale)
    own, bicubic = means[_model(evaluation)], means["bicubic"]
    psnr, ssim = evaluation.fidelity
    at_scale = f" at scale {scale:g}" if len(evaluation.scales) > 1 else ""
    return key_figures(
        [
            KeyFigure(
                f"{own[psnr.name]:.2f} dB",
                f"held-out {psnr.title}{at_scale}",
                f"bicubic {bicubic[psnr.name]:.2f} dB",
            ),
            KeyFigure(f"{own[ssim.name]:.4f}", f"held-out {ssim.title}{at_scale}", f"bicubic {bicubic[ssim.name]:.4f}"),
            *others,
        ]
    )


def comparison(evaluation: Evaluation, config: JobConfig) -> Iterable[Part]:
    """Who is better, and the figures of all models at all scales."""
    always = all(_winner(evaluation, scale) == _OWN for scale in evaluation.scales)
    yield notice(verdict(evaluation), "good" if always else "warning")
    yield from _tables(evaluation)
    num_images = len({row["key"] for row in evaluation.rows})
    yield prose(
        f"Means over {num_images} held-out images at {in_words(evaluation.scales)}, "
        f"degraded with '{config.data.degradation.kind}'{_times(config.evaluation.num_draws)}, border of "
        f"{config.evaluation.border} pixels cut. "
        "The untrained model has the trained one's architecture with random weights."
    )
    if config.data.scenes is not None:
        yield prose(_of_bands(config))
    if evaluation.paths:
        told = "; ".join(f"{name}: {meaning}" for name, meaning in evaluation.paths.items())
        yield prose(f"Further paths through the trained networks, beside the {_model(evaluation)} as it runs: {told}.")


def _of_bands(config: JobConfig) -> str:
    scenes = config.data.scenes
    assert scenes is not None  # the caller looks
    stretch = scenes.value_stretch
    ends = zip(stretch.bands, stretch.low, stretch.high, strict=True)
    told = ", ".join(f"{band} {low:g} to {high:g}" for band, low, high in ends)
    told_bands = ", ".join(scenes.bands)
    return (
        f"PSNR-Y is not defined for the bands {told_bands}: figures are means over the bands, each in "
        f"network units, -1 to 1, which stand for reflectance ({told}; gamma {stretch.gamma:g}). Nothing is clipped "
        "before measuring. Pictures show red, green and blue, cut off at black and white."
    )


def example_panels(examples: Iterable[EvaluatedImage], scales: Sequence[float]) -> Part:
    """A few held-out images and what became of them."""
    return panels([_panel_row(image, scales) for image in examples])


def verdict(evaluation: Evaluation) -> str:
    """Which of model and bicubic is better on held-out PSNR, in words; then the same of each further path.

    A winner is named where the 95 % interval of the paired differences leaves zero out; one image has no interval.
    """
    return " ".join([_verdict_on_model(evaluation), *(_verdict_on_path(evaluation, name) for name in evaluation.paths)])


def _verdict_on_model(evaluation: Evaluation) -> str:
    if len(evaluation.scales) == 1:
        return _verdict_at_one_scale(evaluation, evaluation.scales[0])
    winners = {scale: _winner(evaluation, scale) for scale in evaluation.scales}
    titles = {_OWN: f"the trained {_model(evaluation)}", _BICUBIC: "bicubic", _NEITHER: "neither clearly"}
    scales_of = {title: [scale for scale, found in winners.items() if found == who] for who, title in titles.items()}
    found = "; ".join(f"{title} at {in_words(scales)}" for title, scales in scales_of.items() if scales)
    return f"Better on held-out {evaluation.fidelity[0].title}: {found}."


def _verdict_on_path(evaluation: Evaluation, path: str) -> str:
    """How a path compares with bicubic at each scale."""
    found = []
    for scale in evaluation.scales:
        psnr = evaluation.fidelity[0].name
        difference = evaluation.difference(path, _BICUBIC, psnr, scale)
        means = evaluation.means(scale)
        gain = means[path][psnr] - means[_BICUBIC][psnr] if difference is None else difference.mean
        interval = "" if difference is None else f" (95 % interval {difference.low:+.2f} to {difference.high:+.2f})"
        word = {_OWN: "better", _BICUBIC: "worse", _NEITHER: "no clear difference"}[_winner(evaluation, scale, path)]
        found.append(f"{word} at scale {scale:g}, {gain:+.2f} dB{interval}")
    return f"{path[0].upper()}{path[1:]} against bicubic: {'; '.join(found)}."


def in_words(scales: Sequence[float]) -> str:
    """One scale or several, e.g. `scales 2, 3.4 and 4`."""
    *first, last = (f"{scale:g}" for scale in scales)
    return f"scales {', '.join(first)} and {last}" if first else f"scale {last}"


def _verdict_at_one_scale(evaluation: Evaluation, scale: float) -> str:
    model, means = _model(evaluation), evaluation.means(scale)
    psnr = evaluation.fidelity[0]
    own, bicubic = means[model][psnr.name], means["bicubic"][psnr.name]
    measured = _difference_in_words(_difference(evaluation, scale))
    winner = _winner(evaluation, scale)
    if winner == _NEITHER:
        return (
            f"No clear difference between the trained {model} ({own:.2f} dB) and bicubic ({bicubic:.2f} dB) on "
            f"held-out {psnr.title}{measured}."
        )
    names = {_OWN: f"The trained {model} wins: {own:.2f} dB against {bicubic:.2f} dB of bicubic"}
    names[_BICUBIC] = f"Bicubic wins: {bicubic:.2f} dB against {own:.2f} dB of the trained {model}"
    return f"{names[winner]} on held-out {psnr.title}{measured}."


def _difference_in_words(difference: PairedDifference | None) -> str:
    if difference is None:
        return ""
    low, high = f"{difference.low:+.2f}", f"{difference.high:+.2f}"
    return f" (paired difference {difference.mean:+.2f} dB, 95 % interval {low} to {high})"


def _winner(evaluation: Evaluation, scale: float, model: str | None = None) -> str:
    """Who is better at a scale, a model (by default the trained one) or bicubic: `_OWN`, `_BICUBIC` or `_NEITHER`."""
    model = model or _model(evaluation)
    psnr = evaluation.fidelity[0].name
    difference = evaluation.difference(model, _BICUBIC, psnr, scale)
    if difference is None:
        means = evaluation.means(scale)
        gain = means[model][psnr] - means[_BICUBIC][psnr]
        is_clear = abs(gain) >= _TIE_DB
    else:
        gain, is_clear = difference.mean, difference.is_clear and abs(difference.mean) >= _TIE_DB
    if not is_clear:
        return _NEITHER
    return _OWN if gain > 0 else _BICUBIC


def _tables(evaluation: Evaluation) -> Iterable[Part]:
    if len(evaluation.scales) == 1:
        yield _table_of_one_scale(evaluation, evaluation.scales[0])
        return
    by_scale = {scale: evaluation.means(scale) for scale in evaluation.scales}
    models = next(iter(by_scale.values()))
    psnr, ssim = evaluation.fidelity
    for metric, title, digits in ((psnr.name, f"{psnr.title}, dB", 2), (ssim.name, ssim.title, 4)):
        columns = [Column("model", "Model")]
        columns += [Column(f"{scale:g}", f"Scale {scale:g}", "highest", digits) for scale in by_scale]
        rows: list[dict[str, Cell]] = [
            {"model": model, **{f"{scale:g}": means[model][metric] for scale, means in by_scale.items()}}
            for model in models
        ]
        yield table(columns, rows, title)
    columns = [
        Column("model", "Model"),
        *(Column(f"{scale:g}", f"Scale {scale:g}", is_numeric=True) for scale in by_scale),
    ]
    gains: list[dict[str, Cell]] = [
        {"model": model, **{f"{scale:g}": _gain(evaluation, model, scale) for scale in by_scale}}
        for model in models
        if model != _BICUBIC
    ]
    yield table(columns, gains, f"{psnr.title} beside bicubic, dB")


def _table_of_one_scale(evaluation: Evaluation, scale: float) -> Part:
    psnr, ssim = evaluation.fidelity
    columns = [
        Column("model", "Model"),
        Column(psnr.name, f"{psnr.title}, dB", "highest", 2),
        Column("gain", "beside bicubic, dB", is_numeric=True),
        Column(ssim.name, ssim.title, "highest", 4),
    ]
    columns += [Column(name, f"{name.split('_')[1].upper()}, dB", "highest", 2) for name in _by_band(evaluation)]
    means = evaluation.means(scale)
    return table(
        columns,
        [{"model": model, "gain": _gain(evaluation, model, scale), **values} for model, values in means.items()],
    )


def _gain(evaluation: Evaluation, model: str, scale: float) -> str | None:
    """The paired difference from bicubic with half the width of its 95 % interval."""
    psnr = evaluation.fidelity[0].name
    difference = evaluation.difference(model, "bicubic", psnr, scale) if model != "bicubic" else None
    return None if difference is None else f"{difference.mean:+.2f} ± {difference.high - difference.mean:.2f}"


def _panel_row(image: EvaluatedImage, scales: Sequence[float]) -> tuple[str, dict[str, RgbImage]]:
    label = f"{image.key}, scale {image.scale:g}" if len(scales) > 1 else image.key
    shown = {model: sr for model, sr in image.sr.items() if model != _CONSTANT}
    images = {"LR": image.lr, **shown, "HR": image.hr}
    return label, {name: image.picture(pixels) for name, pixels in images.items()}


def _difference(evaluation: Evaluation, scale: float) -> PairedDifference | None:
    """By how much the trained model's PSNR exceeds bicubic's, dB."""
    return evaluation.difference(_model(evaluation), "bicubic", evaluation.fidelity[0].name, scale)


def _by_band(evaluation: Evaluation) -> list[str]:
    """Metrics of single bands; none of pictures."""
    own = {metric.name for metric in evaluation.fidelity}
    return [name for name in evaluation.rows[0] if name.startswith("psnr_") and name not in own]


def _model(evaluation: Evaluation) -> str:
    """The trained model is measured last."""
    return next(reversed(list(evaluation.means())))


def _times(num_draws: int) -> str:
    return "" if num_draws == 1 else f", each {num_draws} times by different draws"
