"""How much GDAL keeps of what it has read: two rows of blocks of each open raster.

By itself GDAL keeps blocks in up to 5 % of the machine's memory, in each process, which on a large one is more than a
whole worker may have. Rasters are read from top to bottom here, so what lies above two rows of blocks is not asked for
again; and blocks that are forgotten too early are decoded many times.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from rasterio.env import get_gdal_config, set_gdal_config

_OPTION = "GDAL_CACHEMAX"
_USUAL_BYTES = 128 << 20
_ROWS_OF_BLOCKS = 2.5  # a window that lies across two, and their masks

_is_ours = _OPTION not in os.environ  # otherwise the user's limit holds
_most_bytes = max(_USUAL_BYTES, int(get_gdal_config(_OPTION)))
_lock = threading.Lock()
_rooms: list[int] = []
_caps: list[int] = []


@contextmanager
def room_for(dataset: Any) -> Iterator[None]:  # noqa: ANN401  # rasterio ships no types
    """While a raster is open, let GDAL keep two rows of its blocks, and those of others that are open.

    Small rasters share 128 MiB; there is never more than GDAL's own limit.

    Args:
        dataset: Of rasterio.
    """
    room = _needed_bytes(dataset)
    _change(_rooms.append, room)
    try:
        yield
    finally:
        _change(_rooms.remove, room)


@contextmanager
def at_most(num_bytes: int) -> Iterator[None]:
    """Let GDAL keep no more than this for a while, e.g. while it copies what is read but once."""
    _change(_caps.append, num_bytes)
    try:
        yield
    finally:
        _change(_caps.remove, num_bytes)


def _needed_bytes(dataset: Any) -> int:  # noqa: ANN401  # rasterio ships no types
    height = max(block[0] for block in dataset.block_shapes)
    pixel_bytes = sum(np.dtype(name).itemsize for name in dataset.dtypes)
    return int(_ROWS_OF_BLOCKS * height * dataset.width * pixel_bytes)


def _change(do: Callable[[int], None], num_bytes: int) -> None:
    with _lock:
        do(num_bytes)
        _set_limit()


def _set_limit() -> None:
    if _is_ours:
        wanted = max(sum(_rooms), _USUAL_BYTES)
        set_gdal_config(_OPTION, min(wanted, _most_bytes, *_caps))


_set_limit()
