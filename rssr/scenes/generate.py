"""From a seed to a picture."""

import numpy as np
from numpy.typing import NDArray

from rssr.errors import ConfigError
from rssr.scenes.canvas import Canvas
from rssr.scenes.kinds import KINDS
from rssr.scenes.light import cast_shadows, expose
from rssr.seeds import numpy_generator

SCENE_KINDS: tuple[str, ...] = tuple(KINDS)


def generate_scene(
    seed: int, height: int, width: int, *, gsd_m: float = 1.0, kind: str = "suburb"
) -> NDArray[np.uint8]:
    """Paint one procedural overhead scene.

    The picture is a pure function of its arguments. Objects have their size in metres: a smaller `gsd_m` shows
    less ground in more detail.

    Args:
        seed: Any integer.
        height: Pixels.
        width: Pixels.
        gsd_m: Ground sample distance, metres a pixel; 0.3 to 2 looks natural.
        kind: One of `SCENE_KINDS`.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        ConfigError: Unknown kind, or a size or gsd_m that is not positive.
    """
    if kind not in KINDS:
        raise ConfigError(f"'{kind}' is not a kind of scene.", f"Choose one of: {', '.join(KINDS)}.")
    if height < 1 or width < 1 or not gsd_m > 0:
        raise ConfigError(f"A scene of {height}x{width} pixels at {gsd_m} m cannot be painted.", "Give positive sizes.")
    rng = numpy_generator("scene", kind, seed, height, width, f"{gsd_m:.6g}")
    azimuth = rng.uniform(0, 2 * np.pi)
    canvas = Canvas(
        colour=np.zeros((height, width, 3), np.float32),
        height_m=np.zeros((height, width), np.float32),
        free=np.ones((height, width), np.bool_),
        gsd_m=gsd_m,
        rng=rng,
        sun=(float(np.cos(azimuth)), float(np.sin(azimuth))),
        sun_slope=float(np.tan(np.deg2rad(rng.uniform(38, 58)))),
    )
    KINDS[kind](canvas)
    cast_shadows(canvas)
    return expose(canvas)
