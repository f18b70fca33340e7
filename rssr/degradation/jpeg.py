"""JPEG compression by libjpeg, in memory."""

import cv2
import numpy as np
import numpy.typing as npt

Levels = npt.NDArray[np.uint8]


def jpeg_round_trip(levels: Levels, quality: float) -> Levels:
    """Compress and decompress an image (4:2:0 chroma, baseline).

    Args:
        levels: uint8 [H, W, 3] RGB.
        quality: 1 to 100; libjpeg takes whole numbers, so it is rounded.
    """
    bgr = cv2.cvtColor(levels, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, round(quality)])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None  # these bytes were just encoded
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB, dst=decoded)  # type: ignore[no-any-return]  # cv2 is untyped
