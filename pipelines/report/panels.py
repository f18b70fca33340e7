"""Rows of labelled pictures, for comparing models image by image."""

from collections.abc import Mapping, Sequence

from pipelines.report.images import Pixels, embed_image
from pipelines.report.templates import Part, render

_SMALL_WIDTH = 256  # narrower pictures are shown enlarged, and then as the pixels they are


def panels(rows: Sequence[tuple[str, Mapping[str, Pixels]]], caption: str = "") -> Part:
    """Rows of pictures under their labels, e.g. LR, bicubic, SR and HR of one place.

    Args:
        rows: A label and the pictures of each row, uint8 [H, W, 3] or [H, W], by their own labels. Pictures of a row
            are shown at the same width; those with fewer pixels as visible squares.
        caption: What the rows show.
    """
    shown = []
    for label, images in rows:
        pictures = {name: embed_image(pixels) for name, pixels in images.items()}
        widest = max((picture.width for picture in pictures.values()), default=0)
        enlarged = {name: picture.width < max(widest, _SMALL_WIDTH) for name, picture in pictures.items()}
        shown.append({"label": label, "pictures": pictures, "enlarged": enlarged})
    num_columns = max((len(images) for _, images in rows), default=1)
    return render("panels", rows=shown, caption=caption, num_columns=max(num_columns, 1))
