"""Pictures: before and after under one slider, and rows of labelled panels."""

import base64
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from pipelines.report.page import render
from rssr.images import encode_jpeg, encode_png

Pixels = npt.NDArray[np.uint8]

_LOSSLESS_PIXELS = 128 * 128  # larger pictures are embedded as JPEG, so that a report stays a few megabytes


def before_after(before: Pixels, after: Pixels, labels: tuple[str, str], caption: str) -> Markup:
    """Two images of one size under a slider that mouse, touch and keyboard move.

    Args:
        before: uint8 [H, W, 3], shown on the left.
        after: Same shape, shown on the right.
        labels: Names of both.
        caption: What is compared.

    Raises:
        ValueError: The sizes differ.
    """
    if before.shape != after.shape:
        raise ValueError(f"a slider needs two images of one size, got {before.shape} and {after.shape}")
    return render(
        "slider.html",
        before=data_uri(before),
        after=data_uri(after),
        labels=labels,
        caption=caption,
        width=before.shape[1],
        height=before.shape[0],
    )


def panels(rows: Sequence[tuple[str, Mapping[str, Pixels]]]) -> Markup:
    """Rows of labelled images, e.g. LR, bicubic, SR and HR of one place.

    Args:
        rows: A caption and the images, uint8 [H, W, 3], by label. Small ones are shown enlarged without smoothing.
    """
    embedded = [(caption, [(label, data_uri(image)) for label, image in images.items()]) for caption, images in rows]
    return render("panels.html", rows=embedded)


def data_uri(image: Pixels) -> str:
    """An image embedded in the page."""
    if image.shape[0] * image.shape[1] <= _LOSSLESS_PIXELS:
        return "data:image/png;base64," + base64.b64encode(encode_png(image)).decode()
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(image, quality=92)).decode()
