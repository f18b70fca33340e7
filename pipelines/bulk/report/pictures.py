"""Thumbnails of a few products."""

import io
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image

from pipelines.bulk.records import SceneRecord
from pipelines.bulk.result import BulkResult
from pipelines.progress import printable
from pipelines.report import Part, panels, prose
from pipelines.report.images import Pixels

_NUM_WORST, _NUM_SPREAD = 3, 3
_SIDE = 320  # pixels, of the page's pictures
_GREY = 128  # where there is no data


def pictures(result: BulkResult) -> Iterable[Part]:
    """Products with the largest seam scores, and some from the middle to the best."""
    ranked = [scene.product for scene in result.worst_first if scene.product is not None]
    ranked.sort(key=lambda record: -record.seam_score)
    shown = dict(_decoded(result, _chosen(ranked)))
    if not shown:
        return
    num_shown = len(shown)
    words = "By seam score, the largest first. Grey is ground without data."
    yield prose(words if num_shown < len(ranked) else f"All products. {words}")
    yield panels([("", shown)])


def _chosen(ranked: Sequence[SceneRecord]) -> list[SceneRecord]:
    """The first ones, and as many spread from the middle to the end."""
    spread = np.linspace(len(ranked) // 2, len(ranked) - 1, _NUM_SPREAD).round().astype(int) if ranked else ()
    numbers = dict.fromkeys([*range(min(_NUM_WORST, len(ranked))), *(int(number) for number in spread)])
    return [ranked[number] for number in numbers]


def _decoded(result: BulkResult, records: Sequence[SceneRecord]) -> Iterator[tuple[str, Pixels]]:
    for record in records:
        data = result.thumbnails(record)
        picture = None if data is None else _picture(data)
        if picture is not None:
            yield f"{printable(record.name)}, seam score {record.seam_score:.3f}", picture


def _picture(data: bytes) -> Pixels | None:
    """uint8 [H, W, 3]; None for what is no picture: the page goes without it."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as opened:
            picture = opened.convert("RGBA")
    except (OSError, ValueError):
        return None
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    ground = Image.new("RGBA", picture.size, (_GREY, _GREY, _GREY, 255))
    return np.asarray(Image.alpha_composite(ground, picture).convert("RGB"))
