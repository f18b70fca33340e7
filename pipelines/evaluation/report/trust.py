"""What in the images can be trusted: what SR keeps of LR, whether what it adds is true, and whether error bars hold."""

from collections.abc import Iterable, Sequence

from pipelines.evaluation.findings import Findings, Place
from pipelines.evaluation.report.against import differences
from pipelines.evaluation.report.pictures import Shown, maps
from pipelines.evaluation.report.scores import metric_column
from pipelines.report import Column, Part, folded, heading, notice, panels, prose, table
from pipelines.report.reliability import is_close, reliability_curves, reliability_table, verdict

_NUM_UNFOLDED = 2  # images whose maps are open from the start
_MEANINGS = {
    "lr_error": "SR is taken back to the LR grid and compared with LR: the mean absolute error over all bands. Small "
    "means that SR says of brightness and colour what the sensor said. It needs no HR image, so it can be looked at on "
    "your own data. Where LR images were blurred or noisy it cannot be 0; compare methods by it.",
    "lr_shift_px": "How far SR lies beside LR, in LR pixels. A shift makes whatever is measured on the map wrong by "
    "that length, however good the picture looks.",
    "spectral_angle_deg": "The angle between the spectra of a pixel in SR and in LR: whether colours, and with them "
    "indices such as NDVI, stay what they were.",
    "improvement": "The share of what SR changes, or should have changed, that came to HR: true detail.",
    "omission": "The share that stayed as LR has it although HR has more: detail that was not brought back.",
    "hallucination": "The share that went where neither LR nor HR is: detail that is made up. Interpolation makes up "
    "little and leaves out much. Do not measure on the images of a method that makes up more than it improves.",
}


def trust(found: Findings, shown: Sequence[Shown]) -> Iterable[Part]:
    """Metrics of trust in words and numbers, maps, and how well error bars hold."""
    if found.trust:
        meanings = [{"metric": spec.title, "meaning": _MEANINGS.get(spec.name, spec.source)} for spec in found.trust]
        yield table([Column("metric", "Metric"), Column("meaning", "What it tells")], meanings)
        for place in found.places:
            yield _table(found, place)
        if len(found.methods) > 1:
            tables = [differences(found, place, found.trust) for place in found.places]
            yield folded(f"The same beside {found.result.reference}, image by image", *tables)
    yield from _maps(shown)
    yield from _reliability(found)


def _table(found: Findings, place: Place) -> Part:
    columns = [Column("method", "Method"), *(metric_column(found, spec) for spec in found.trust)]
    rows = [
        {"method": name, **{spec.name: found.mean(name, spec.name, place) for spec in found.trust}}
        for name in found.methods
        if any(row.method == name for row in found.rows_at(place))
    ]
    return table(columns, rows, f"{place.title}: means with 95 % intervals")


def _maps(shown: Sequence[Shown]) -> Iterable[Part]:
    rows = [list(maps(item)) for item in shown]
    rows = [own for own in rows if own]
    if not rows:
        return
    yield heading("Maps")
    yield prose(
        "Dark is near to LR, or sure; light is far from it, or unsure. One scale holds for all methods of a row."
    )
    unfolded = [row for own in rows[:_NUM_UNFOLDED] for row in own]
    yield panels(unfolded)
    rest = rows[_NUM_UNFOLDED:]
    if rest:
        yield folded(f"Maps of {len(rest)} more", panels([row for own in rest for row in own]))


def _reliability(found: Findings) -> Iterable[Part]:
    reliability = found.result.reliability
    if not reliability:
        return
    yield heading("Error bars")
    yield prose(
        "Some methods say how sure they are of each pixel. Here their error bars are held against the errors that came "
        "about: where they hold, the curve of a method lies on the ideal one."
    )
    for name, own in reliability.items():
        good = own.likelihood_gain > 0 and is_close(own)
        yield notice(f"{name}: {verdict(own)}", "good" if good else "warning")
    yield from reliability_curves(reliability, "grey levels")
    yield reliability_table(reliability)
