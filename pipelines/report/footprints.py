"""A map of scenes by their state: drawn by the page itself, without anything from elsewhere."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pipelines.report.map_view import Bounds, Box, MapView
from pipelines.report.templates import Part, render

FootprintState = Literal["done", "marked", "partial", "failed", "waiting"]

_STATES: tuple[FootprintState, ...] = get_args(FootprintState)
_WORST_FIRST: tuple[FootprintState, ...] = ("failed", "partial", "marked", "waiting", "done")
_MOST_OUTLINES = 2000  # beyond, cells with their numbers are drawn
_NUM_COLUMNS = 60  # of cells
_SMALLEST = 9.0  # units of the drawing: what is smaller on the ground would not be seen
_FAINTEST = 0.35  # of a cell that holds one scene
_KEY = (1.0, 1.0, 17.0, 13.0)  # left, top, right and bottom of the legend's signs


@dataclass(frozen=True)
class Footprint:
    """One scene.

    Attributes:
        name: Of the scene.
        state: Decides its colour and its mark.
        bounds: West, south, east, north, degrees; west is larger than east across the antimeridian. None where its
            place is unknown.
        note: A few words behind its name, e.g. its seam score.
        link: Anchor of the page that tells more; empty for none.
    """

    name: str
    state: FootprintState
    bounds: Bounds | None
    note: str = ""
    link: str = ""


def footprints(scenes: Sequence[Footprint], title: str, words: Mapping[FootprintState, str]) -> Part:
    """Scenes on the ground, coloured and marked by their state; of thousands, how many lie where, by the worst state.

    Args:
        scenes: In any order; the worst are drawn on top. Those without a place are counted below the map.
        title: What is drawn.
        words: What states mean, for the legend.
    """
    placed = [(scene, scene.bounds) for scene in scenes if scene.bounds is not None]
    view = MapView.around([bounds for _, bounds in placed]) if placed else None
    counts = Counter(scene.state for scene in scenes)
    are_cells = len(placed) > _MOST_OUTLINES
    shapes = [] if view is None else list(_cells(placed, view) if are_cells else _outlines(placed, view))
    return render(
        "footprints",
        title=title,
        view=view,
        shapes=shapes,
        legend=[
            {"state": state, "words": words.get(state, state), "count": counts[state], "path": _path(_KEY, state)}
            for state in _STATES
            if counts[state]
        ],
        note=_note(len(scenes) - len(placed), len(placed), are_cells),
    )


def _note(num_unplaced: int, num_placed: int, are_cells: bool) -> str:
    """What the map does not show."""
    told = []
    if num_unplaced and not num_placed:
        told.append("Where they lie is unknown: no scene has a coordinate reference system.")
    elif num_unplaced:
        told.append(f"Not on the map: {num_unplaced:,} without a coordinate reference system.")
    if are_cells:
        told.append(
            f"{num_placed:,} scenes are counted in cells. A cell has the colour of its worst scene, the stronger the "
            "more it holds."
        )
    return " ".join(told)


def _outlines(placed: Sequence[tuple[Footprint, Bounds]], view: MapView) -> Iterator[dict[str, object]]:
    """Good scenes first, so that bad ones lie on top."""
    for scene, bounds in sorted(placed, key=lambda pair: -_WORST_FIRST.index(pair[0].state)):
        boxes = [_at_least(box, view) for box in view.boxes(bounds)]
        yield {
            "state": scene.state,
            "path": " ".join(_path(box, scene.state) for box in boxes),
            "words": ": ".join(part for part in (scene.name, scene.note or scene.state) if part),
            "link": scene.link,
            "opacity": None,
        }


def _cells(placed: Sequence[tuple[Footprint, Bounds]], view: MapView) -> Iterator[dict[str, object]]:
    """By their middles."""
    side = view.width / _NUM_COLUMNS
    held: dict[tuple[int, int], Counter[FootprintState]] = {}
    for scene, bounds in placed:
        x, y = view.middle(bounds)
        cell = min(int(x // side), _NUM_COLUMNS - 1), int(y // side)
        held.setdefault(cell, Counter())[scene.state] += 1
    most = max(counts.total() for counts in held.values())
    for (column, row), counts in sorted(held.items()):
        worst = next(state for state in _WORST_FIRST if counts[state])
        left, top = column * side, row * side
        told = ", ".join(f"{counts[state]:,} {state}" for state in _STATES if counts[state])
        yield {
            "state": worst,
            "path": _path((left, top, left + side, top + side), worst),
            "words": f"{counts.total():,} scenes: {told}",
            "link": "",
            "opacity": round(_FAINTEST + (1 - _FAINTEST) * counts.total() / most, 2),
        }


def _at_least(box: Box, view: MapView) -> Box:
    """The box about its middle, large enough to be seen."""
    left, top, right, bottom = box
    across = max(_SMALLEST - (right - left), 0.0) / 2
    along = max(_SMALLEST - (bottom - top), 0.0) / 2
    return left - across, top - along, right + across, bottom + along


def _path(box: Box, state: FootprintState) -> str:
    """The outline, and the mark by which states differ for those who see no colours."""
    left, top, right, bottom = (f"{end:.2f}".rstrip("0").rstrip(".") for end in box)
    outline = f"M{left} {top}H{right}V{bottom}H{left}Z"
    falling, rising = f"M{left} {top}L{right} {bottom}", f"M{left} {bottom}L{right} {top}"
    middle = f"M{left} {(box[1] + box[3]) / 2:.2f}H{right}"
    marks = {"failed": falling + rising, "partial": middle, "marked": rising}
    return outline + marks.get(state, "")
