"""The answer first: which method is best for these images, and whether that can be believed."""

from collections.abc import Iterable, Iterator

from pipelines.evaluation.findings import Findings, Place, Standing, counted, listed, percent, titled, with_unit
from pipelines.evaluation.pairing import Comparison
from pipelines.report import Column, Estimate, KeyFigure, Level, Part, checks, heading, key_figures, notice, table
from rssr.metrics.spec import MetricSpec

CAVEATS = "What is missing"
"""The section that names what is not in the numbers."""

_FEWEST_IMAGES = 20  # with fewer, intervals of the bootstrap are too narrow
_Check = tuple[Level, str]


def answer(found: Findings) -> Iterable[Part]:
    """The lead of the page."""
    standing = None if found.ranking is None else found.standing(found.ranking.name)
    yield notice(verdict(found), "good" if standing is not None and standing.is_clear else "warning")
    if standing is not None:
        yield key_figures(list(_figures(found, standing)))
    yield heading("Can I believe it?")
    yield checks(list(_checks(found, standing)))


def verdict(found: Findings) -> str:
    """The answer in words: a method is called best only where its paired interval to each other leaves zero out."""
    spec = found.ranking
    if spec is None:
        return (
            f"No answer: no image has a value of {found.result.rank_by}, by which methods were to be ranked. "
            f"{CAVEATS} is told below."
        )
    standing = found.standing(spec.name)
    assert standing is not None  # there is a value, as the metric ranks
    if not standing.beside:
        value = _value(found, standing.leader, spec)
        return f"Only {standing.leader} has values of {spec.title} ({value}): there is nothing to compare it with."
    if standing.is_clear:
        return _winner(found, standing)
    return _no_winner(found, standing)


def _winner(found: Findings, standing: Standing) -> str:
    spec, next_best = standing.metric, standing.beside[0]
    lead = (
        f"{standing.leader} is best for these images: its {spec.title} is {_gap(found, next_best)} that of "
        f"{next_best.reference}, the next best ({_evidence(found, next_best)})."
    )
    others = standing.ranked[2:]
    return lead + (f" It is clearly better than each of the others, too: {listed(others)}." if others else "")


def _no_winner(found: Findings, standing: Standing) -> str:
    spec = standing.metric
    tied = standing.tied
    closest = next(comparison for comparison in standing.beside if not comparison.is_better)
    if closest.difference is None:
        return (
            f"{listed(tied)} cannot be told apart: at least two images are needed that both have {spec.title} of, "
            f"and there {'is' if closest.num_images == 1 else 'are'} {closest.num_images}."
        )
    lead = (
        f"{listed(tied)} cannot be told apart on these images by {spec.title}: {standing.leader} is "
        f"{_gap(found, closest)} {closest.reference} on average, and that may be chance ({_evidence(found, closest)})."
    )
    rest = f" {standing.leader} is clearly better than {listed(standing.beaten)}." if standing.beaten else ""
    return lead + rest


def _gap(found: Findings, comparison: Comparison) -> str:
    """How far a method's mean is from another's, e.g. `0.42 dB above`."""
    assert comparison.difference is not None  # the caller looks
    mean, spec = comparison.difference.mean, comparison.metric
    text = with_unit(Estimate(abs(mean)).value_text(found.digits(spec.name)), spec)
    return f"{text} {'above' if mean >= 0 else 'below'}"


def _evidence(found: Findings, comparison: Comparison) -> str:
    difference, digits = comparison.difference, found.digits(comparison.metric.name)
    assert difference is not None  # the caller looks
    interval = Estimate(difference.mean, difference.low, difference.high, is_signed=True).interval_text(digits)
    images = counted(comparison.num_images, "image")
    return f"95 % interval {interval}; better on {percent(comparison.share_won)} of {images}"


def _value(found: Findings, method: str, spec: MetricSpec) -> str:
    """One number where there is one place, the range over the places otherwise."""
    values = [value.value for place in found.places if (value := found.mean(method, spec.name, place))]
    low, high = (Estimate(end).value_text(found.digits(spec.name)) for end in (min(values), max(values)))
    return with_unit(low if low == high else f"{low} to {high}", spec)


def _figures(found: Findings, standing: Standing) -> Iterator[KeyFigure]:
    spec, leader = standing.metric, standing.leader
    label = f"{spec.title} of {leader}" + (", by dataset and scale" if len(found.places) > 1 else "")
    beside = found.result.reference if found.result.reference != leader else next(iter(standing.ranked[1:]), "")
    yield KeyFigure(_value(found, leader, spec), label, f"{beside} {_value(found, beside, spec)}" if beside else "")
    if standing.beside and (difference := standing.beside[0].difference) is not None:
        lead = Estimate(difference.mean, difference.low, difference.high, is_signed=True)
        digits = found.digits(spec.name)
        note = f"95 % interval {lead.interval_text(digits)}"
        yield KeyFigure(with_unit(lead.value_text(digits), spec), f"beside {standing.ranked[1]}, the next best", note)
    sets = counted(len(found.result.datasets), "dataset")
    yield KeyFigure(f"{found.num_images:,}", "images" if found.num_images != 1 else "image", f"of {sets}")
    scale = found.places[0].scale
    if (seconds := found.seconds(leader, scale)) is not None:
        label = f"for an image at scale {scale:g}, {leader}"
        yield KeyFigure(f"{seconds:.3g} s", label, found.result.hardware)


def _checks(found: Findings, standing: Standing | None) -> Iterator[_Check]:
    """What speaks for the answer and against it."""
    if standing is not None:
        yield _enough_images(found, standing)
        if len(found.places) > 1:
            yield _same_everywhere(found, standing)
        yield from _other_metrics(found, standing)
    yield _split_safety(found)
    yield from (("info", remark) for remark in found.result.notices)
    yield _failures(found)
    yield _gaps(found)


def _enough_images(found: Findings, standing: Standing) -> _Check:
    number = min((comparison.num_images for comparison in standing.beside), default=found.num_images)
    if number < _FEWEST_IMAGES:
        return "warning", (
            f"Few images: {counted(number, 'image')} to compare on. With fewer than {_FEWEST_IMAGES}, intervals are "
            "too narrow; take the answer as a hint."
        )
    return "good", f"Compared image by image on {counted(number, 'image')}, which all methods saw the same."


def _same_everywhere(found: Findings, standing: Standing) -> _Check:
    leaders = {place: at.leader for place in found.places if (at := found.standing(standing.metric.name, place))}
    others = [f"{leader} at {place.title}" for place, leader in leaders.items() if leader != standing.leader]
    if not others:
        return "good", f"{standing.leader} has the best {standing.metric.title} at each dataset and scale."
    return "warning", f"Not everywhere: the best {standing.metric.title} is that of {listed(others)}."


def _other_metrics(found: Findings, standing: Standing) -> Iterator[_Check]:
    """Whether what looks better is also nearer to the truth, and the other way round."""
    agree: list[str] = []
    differ: list[Standing] = []
    for spec in found.quality:
        other = found.standing(spec.name)
        if spec.name == standing.metric.name or other is None or not other.beside:
            continue
        if other.leader == standing.leader:
            agree.append(spec.title)
        else:
            differ.append(other)
    if agree:
        verb = "puts" if len(agree) == 1 else "put"
        yield "good", f"{listed(agree)} {verb} {standing.leader} first as well."
    for other in differ:
        sure = "clearly" if other.is_clear else "though not clearly"
        words = (
            f"By {other.metric.title} {other.leader} is ahead, {sure}: choose by what matters to you. PSNR and SSIM "
            "ask whether pixels are right, perceptual metrics whether the picture looks right."
        )
        yield "warning", words


def _split_safety(found: Findings) -> _Check:
    learnt = [shared for shared in found.result.shared if shared.method]
    images = {(shared.dataset, shared.key) for shared in learnt}
    if images:
        methods = listed(list(dict.fromkeys(shared.method for shared in learnt)))
        verb = "equals or resembles one" if len(images) == 1 else "equal or resemble some"
        return "warning", (
            f"{counted(len(images), 'image')} {verb} that {methods} learnt from: its results there may be too good. "
            f"See {CAVEATS}."
        )
    return "good", "No image equals or resembles one that a method's card lists as training data."


def _failures(found: Findings) -> _Check:
    number = len({(failure.dataset, failure.key) for failure in found.result.failures})
    if number:
        images = counted(number, "image")
        return "warning", f"{images} failed for some or all methods and are left out. See {CAVEATS}."
    return "good", "No image failed."


def _gaps(found: Findings) -> _Check:
    gaps = [found.result.spec(name).title for name in found.result.gaps]
    if gaps:
        return "warning", f"{listed(gaps)} could not be had. See {CAVEATS} for what fetches the weights."
    return "good", "Every metric that was asked for could be computed."


def leaders(found: Findings) -> Iterable[Part]:
    """Who is ahead by each metric, at each dataset and scale."""
    specs = (*found.quality, *found.trust)
    if len(found.methods) < 2 or len(specs) < 2:
        return
    columns = [Column("metric", "Metric"), *(Column(place.title, place.title) for place in found.places)]
    rows = [{"metric": titled(spec), **{p.title: _leader(found, spec, p) for p in found.places}} for spec in specs]
    yield table(columns, [dict(row) for row in rows], "Ahead by each metric; * where clearly ahead of all others")


def _leader(found: Findings, spec: MetricSpec, place: Place) -> str | None:
    standing = found.standing(spec.name, place)
    if standing is None or not standing.beside:
        return None
    return f"{standing.leader} *" if standing.is_clear else standing.leader
