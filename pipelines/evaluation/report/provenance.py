"""How all of it can be made again, and under which terms it may be used."""

from collections.abc import Iterable

from pipelines.evaluation.findings import Findings
from pipelines.report import Column, Part, facts, heading, listing, prose, table
from pipelines.report.table import Cell
from rssr.metrics.spec import MetricSpec

_UNSTATED = "not stated"
_KINDS = {"baseline": "interpolation", "model": "model", "images": "images made elsewhere"}


def provenance(found: Findings) -> Iterable[Part]:
    """Methods, datasets and metrics with their licences; versions and configuration."""
    result = found.result
    yield heading("Methods")
    yield _methods(found)
    yield heading("Datasets")
    yield _datasets(found)
    yield listing("\n".join(_digests(found)), "SHA-256 in full")
    yield heading("Metrics")
    titles = ("Metric", "How to read it", "Source and licence")
    rows = [dict(zip(titles, (spec.title, _reading(spec), _source(spec)), strict=True)) for spec in result.metrics]
    yield table([Column(title, title) for title in titles], rows)
    yield prose(
        "Intervals of means are from the bias-corrected and accelerated bootstrap over images, those of differences "
        f"Student's over the differences image by image; both hold 95 %. The seed is {result.seed}. An infinite PSNR "
        "counts as 100 dB."
    )
    yield heading("Versions")
    yield facts({"date": result.date or _UNSTATED, "hardware": result.hardware or _UNSTATED, **result.versions})
    if result.config:
        yield listing(result.config, "Configuration")


def _methods(found: Findings) -> Part:
    titles = ("Method", "What it is", "From", "SHA-256", "Licence of the weights", "Learnt from, SHA-256")
    columns = [Column(title, title) for title in titles]
    rows: list[dict[str, Cell]] = []
    for own in found.result.methods:
        kind = "official weights" if own.is_official else _KINDS[own.kind]
        licence = own.licence or (_UNSTATED if own.kind != "baseline" else "–")  # noqa: RUF001  # a dash, as tables have it
        trained = ", ".join(digest[:12] for digest in own.digest_of_training)
        values = (own.name, kind, own.source, own.digest[:12] or None, licence, trained or None)
        rows.append(dict(zip(titles, values, strict=True)))
    return table(columns, rows)


def _datasets(found: Findings) -> Part:
    titles = ("Dataset", "Images", "From", "Manifest", "SHA-256 of the manifest", "Licence")
    columns = [Column(title, title) for title in titles]
    rows: list[dict[str, Cell]] = []
    for own in found.result.datasets:
        images = f"{own.num_images:,}{'' if own.has_hr else ', without HR'}"
        values = (own.name, images, own.uri, own.manifest, own.digest[:12], own.licence or _UNSTATED)
        rows.append(dict(zip(titles, values, strict=True)))
    return table(columns, rows)


def _digests(found: Findings) -> list[str]:
    """As checksum tools write them."""
    lines = [(own.digest, f"manifest of {own.name}") for own in found.result.datasets]
    for own in found.result.methods:
        lines += [
            (own.digest, f"model {own.name}"),
            *((digest, f"learnt from by {own.name}") for digest in own.digest_of_training),
        ]
    return [f"{digest}  {name}" for digest, name in lines if digest]


def _source(spec: MetricSpec) -> str:
    return "; ".join(part for part in (spec.source, spec.package) if part) or _UNSTATED


def _reading(spec: MetricSpec) -> str:
    low, high = (f"{end:g}".replace("inf", "∞") for end in spec.value_range)
    unit = f" {spec.unit}" if spec.unit else ""
    colours = {"y": "on luma (Y)", "rgb": "on red, green and blue", "bands": "on each band alike"}[spec.colour_space]
    needs = {
        "hr": "against HR",
        "lr": "against LR",
        "nothing": "without another image",
        "set": "of a whole set of images",
    }
    border = "border cut" if spec.is_cropped else "whole image"
    return f"{spec.direction} is better, {low} to {high}{unit}; {colours}, {needs[spec.needs]}, {border}"
