"""Pictures of the same place, one over the other, with a divider to move."""

from collections.abc import Mapping

from pipelines.report.images import Encoding, Pixels, embed_image
from pipelines.report.templates import Part, render


def before_after(before: Pixels, after: Pixels, labels: tuple[str, str], caption: str) -> Part:
    """A slider between two pictures, for mouse, touch and keyboard; printed, both stand side by side.

    Args:
        before: uint8 [H, W, 3] or [H, W]; shown on the left. May be smaller than `after`, e.g. the LR image: its
            pixels are then shown as squares, as they are.
        after: Of the same place.
        labels: Names of both.
        caption: What is seen.
    """
    return _slider([(labels[0], before), (labels[1], after)], (0, 1), caption)


def side_by_side(
    pictures: Mapping[str, Pixels], shown: tuple[str, str], caption: str, encoding: Encoding | None = None
) -> Part:
    """A slider between any two of several pictures, chosen by their names; printed, all of them stand side by side.

    Args:
        pictures: At least two, uint8 [H, W, 3] or [H, W], of the same place; smaller ones are shown as squares.
        shown: Names of those on the left and the right at first.
        caption: What is seen.
        encoding: How they are embedded; None is lossless where that is small enough.
    """
    names = list(pictures)
    first = (names.index(shown[0]), names.index(shown[1]))
    return _slider(list(pictures.items()), first, caption, encoding)


def _slider(
    pictures: list[tuple[str, Pixels]], shown: tuple[int, int], caption: str, encoding: Encoding | None = None
) -> Part:
    embedded = [(name, embed_image(pixels, encoding)) for name, pixels in pictures]
    width = max(picture.width for _, picture in embedded)
    height = max(picture.height for _, picture in embedded)
    return render(
        "slider",
        pictures=[
            {"name": name, "picture": picture, "is_enlarged": picture.width < width} for name, picture in embedded
        ],
        before=shown[0],
        after=shown[1],
        width=width,
        height=height,
        caption=caption,
    )
