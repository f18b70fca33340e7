"""Scene by scene, the worst first."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from markupsafe import Markup

from pipelines.bulk.records import FAILURES_KEY, LEDGER_TABLE, MARKED_FOLDER
from pipelines.bulk.result import BulkResult, SceneResult
from pipelines.progress import printable
from pipelines.report import Column, Part, folded, prose, table
from pipelines.report.table import Cell

_NUM_UNFOLDED = 40  # of each table
_MOST_ROWS = 2000  # the page stays a page; the ledger has all
_MOST_WINDOWS = 200

_SCENE, _STATE = Column("scene", "Scene"), Column("state", "State")
_WITHOUT = (_SCENE, _STATE, Column("reason", "Why"))
_PRODUCTS = (
    _SCENE,
    _STATE,
    Column("seams", "Seam score", digits=3),
    Column("valid", "Data, %", digits=1),
    Column("consistency", "Mean consistency", is_numeric=True),
    Column("windows", "Failed windows", is_numeric=True),
    Column("size", "Pixels", is_numeric=True),
    Column("time", "Worker time, s", digits=1),
)
_WAITING = (_SCENE, Column("size", "Pixels", is_numeric=True), Column("windows", "Windows", is_numeric=True))

_Group = Sequence[SceneResult]


def anchors(result: BulkResult) -> dict[str, str]:
    """Anchors of the scenes' rows, by name: of as many as the page has rows."""
    return {scene.name: f"scene-{number}" for number, scene in enumerate(result.worst_first[:_MOST_ROWS], 1)}


def scenes(result: BulkResult) -> Iterable[Part]:
    """Tables of all scenes: without a product, with one, and those that are still to come."""
    rows, links = result.worst_first[:_MOST_ROWS], anchors(result)
    if not rows:
        yield prose("No scenes.")
        return
    without = [scene for scene in rows if scene.product is None and scene.outcome != "waiting"]
    if without:
        yield from _tables(_WITHOUT, without, links, "Without a product")
    products = [scene for scene in rows if scene.product is not None]
    if products:
        yield from _tables(_PRODUCTS, products, links, "Products, those first that are not as they should be")
        yield prose(_meaning(products))
    waiting = [scene for scene in rows if scene.outcome == "waiting"]
    if waiting:
        yield folded(f"{len(waiting):,} waiting", *_tables(_WAITING, waiting, links, "Waiting"))
    if len(result.scenes) > len(rows):
        yield prose(f"{len(rows):,} of {len(result.scenes):,} scenes are shown; all are in `{LEDGER_TABLE}`.")


def _tables(columns: Sequence[Column], group: _Group, links: Mapping[str, str], caption: str) -> Iterable[Part]:
    """One that is open, and one of the rest; columns in which nothing stands are left out."""
    rows, ids = [_row(scene) for scene in group], [links[scene.name] for scene in group]
    columns = [column for column in columns if any(column.name in row for row in rows)]
    yield table(columns, rows[:_NUM_UNFOLDED], caption, ids[:_NUM_UNFOLDED])
    if rest := rows[_NUM_UNFOLDED:]:
        yield folded(f"{len(rest):,} more", table(columns, rest, caption, ids[_NUM_UNFOLDED:]))


def _meaning(products: _Group) -> str:
    told = []
    if any(scene.outcome == "marked" for scene in products):
        told.append(f"Tiles show in marked products: they lie below `{MARKED_FOLDER}/`, not among the good ones.")
    if any(scene.outcome == "partial" for scene in products):
        told.append("Partial ones have no data where windows failed.")
    if any(scene.product and scene.product.mean_consistency is not None for scene in products):
        told.append(
            "The mean consistency is how far a product, taken back to the scene's own pixels, is from the scene, in "
            "the scene's units."
        )
    return " ".join(told)


def _row(scene: SceneResult) -> dict[str, Cell]:
    state = Markup('<span class="state state-{}">{}</span>').format(_colour(scene), scene.outcome)
    row: dict[str, Cell] = {"scene": printable(scene.name), "state": state, "reason": printable(scene.reason)}
    record = scene.product
    if record is None:
        if scene.outcome == "waiting":
            row |= {"size": _size(scene.planned.sr_size), "windows": f"{len(scene.planned.windows):,}"}
        return row
    row |= {"seams": record.seam_score, "valid": 100 * record.valid_share, "size": _size(record.sr_size)}
    row["time"] = record.compute_s + record.write_s
    if record.mean_consistency is not None:
        row["consistency"] = f"{record.mean_consistency:.3g}"
    if record.failed_windows:
        row["windows"] = f"{len(record.failed_windows):,} of {len(scene.planned.windows):,}"
    return row


def _colour(scene: SceneResult) -> str:
    return "failed" if scene.outcome == "refused" else scene.outcome


def _size(size: Sequence[int]) -> str:
    return f"{size[1]:,} × {size[0]:,}".replace(" ", "\N{NO-BREAK SPACE}")  # noqa: RUF001  # the sign between sides


def failed_windows(result: BulkResult) -> Iterable[Part]:
    """Which parts of products are masked since they could not be computed."""
    yield prose(
        "These parts of products hold no data: computing them failed each time. Rows and columns are pixels of the "
        "product, counted from 0."
    )
    columns = [Column(name, name.capitalize(), is_numeric=name in ("rows", "columns")) for name in _PARTS]
    shown = list(islice(_window_rows(result), _MOST_WINDOWS))
    yield table(columns, shown)
    if result.num_failed_windows > _MOST_WINDOWS:
        yield prose(f"All {result.num_failed_windows:,} are in `{FAILURES_KEY}`.")


_PARTS = ("scene", "window", "rows", "columns", "reason")


def _window_rows(result: BulkResult) -> Iterable[dict[str, Cell]]:
    for scene in result.worst_first:
        for window in scene.record.failed_windows if scene.record else ():
            yield {
                "scene": printable(scene.name),
                "window": window.key,
                "rows": f"{window.rows[0]:,} to {window.rows[1] - 1:,}",
                "columns": f"{window.columns[0]:,} to {window.columns[1] - 1:,}",
                "reason": printable(window.reason),
            }
