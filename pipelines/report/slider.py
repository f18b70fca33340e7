"""Two pictures of the same place, one over the other, with a divider to move."""

from pipelines.report.images import Pixels, embed_image
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
    left, right = embed_image(before), embed_image(after)
    return render(
        "slider",
        before=left,
        after=right,
        width=max(left.width, right.width),
        height=max(left.height, right.height),
        caption=caption,
        before_label=labels[0],
        after_label=labels[1],
    )
