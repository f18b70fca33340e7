"""What GDAL keeps of what it has read: two rows of blocks of each open raster, rather than a share of the machine.

GDAL keeps blocks until they fill a twentieth of the machine's memory, in each process. Rasters are read from top to
bottom here, so what lies above two rows of blocks is not asked for again.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from rasterio.env import get_gdal_config, set_gdal_config

_VARIABLE = "GDAL_CACHEMAX"
_LEAST_BYTES = 64 << 20
_ROWS_OF_BLOCKS = 2.5  # a window that lies across two, and their masks

_lock = threading.Lock()
_rooms: list[int] = []
_usual: list[int] = []  # GDAL's own limit, while ours holds


@contextmanager
def room_for(dataset: Any) -> Iterator[None]:  # noqa: ANN401  # rasterio ships no types
    """While a raster is open, let GDAL keep two rows of its blocks, and those of others that are open.

    Nothing is changed where the environment variable GDAL_CACHEMAX has a say, and nothing beyond GDAL's own limit.

    Args:
        dataset: Of rasterio.
    """
    room = _needed_bytes(dataset)
    _change(_rooms.append, room)
    try:
        yield
    finally:
        _change(_rooms.remove, room)


def _needed_bytes(dataset: Any) -> int:  # noqa: ANN401  # rasterio ships no types
    height = max(block[0] for block in dataset.block_shapes)
    pixel_bytes = sum(np.dtype(name).itemsize for name in dataset.dtypes)
    return int(_ROWS_OF_BLOCKS * height * dataset.width * pixel_bytes)


def _change(do: Callable[[int], None], room: int) -> None:
    if _VARIABLE in os.environ:
        return
    with _lock:
        if not _rooms:
            _usual[:] = [get_gdal_config(_VARIABLE)]
        do(room)
        limit = max(_LEAST_BYTES, sum(_rooms)) if _rooms else _usual[0]
        set_gdal_config(_VARIABLE, min(limit, _usual[0]))
