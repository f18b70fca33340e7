"""Rows of labelled pictures, for comparing models image by image."""

from collections.abc import Mapping, Sequence

from pipelines.report.colours import gradient, paint
from pipelines.report.images import Pixels, embed_image
from pipelines.report.templates import Part, render
from rssr.value_map import ValueMap

_MOST_COLUMNS = 6  # more pictures stand in several lines
_SMALL_WIDTH = 256  # narrower pictures are shown enlarged, and then as the pixels they are


def panels(rows: Sequence[tuple[str, Mapping[str, Pixels | ValueMap]]], caption: str = "") -> Part:
    """Rows of pictures under their labels, e.g. LR, bicubic, SR and HR of one place.

    Args:
        rows: A label and the pictures of each row, uint8 [H, W, 3] or [H, W] or maps of values, by their own labels.
            Pictures of a row are shown at the same width; those with fewer pixels as visible squares. Maps are shown
            in colours, above a scale with the values at its ends.
        caption: What the rows show.
    """
    shown = []
    for label, images in rows:
        pictures = {name: embed_image(_pixels(image)) for name, image in images.items()}
        widest = max((picture.width for picture in pictures.values()), default=0)
        enlarged = {name: picture.width < max(widest, _SMALL_WIDTH) for name, picture in pictures.items()}
        scales = {name: _scale(image) for name, image in images.items() if isinstance(image, ValueMap)}
        shown.append({"label": label, "pictures": pictures, "enlarged": enlarged, "scales": scales})
    longest = max((len(images) for _, images in rows), default=1)
    num_columns = -(-longest // -(-longest // _MOST_COLUMNS)) if longest else 1  # lines of about equal length
    return render("panels", rows=shown, caption=caption, num_columns=num_columns, gradient=gradient())


def _pixels(image: Pixels | ValueMap) -> Pixels:
    return paint(image) if isinstance(image, ValueMap) else image


def _scale(shown: ValueMap) -> dict[str, str]:
    """The ends of a map's colour scale, and what the map itself holds in words."""
    low, high = (_number(end) for end in shown.scale_ends)
    lowest, highest = (_number(end) for end in shown.extent)
    return {"low": low, "high": high, "unit": shown.unit, "extent": f"{lowest} to {highest} {shown.unit}".rstrip()}


def _number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
