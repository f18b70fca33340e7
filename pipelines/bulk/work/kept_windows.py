"""The windows of one scene on their way into its product; one that is damaged is computed anew."""

import logging
from collections.abc import Iterable
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from pipelines.bulk.work.open_runs import OpenScene
from pipelines.bulk.work.work_objects import WindowObjects
from pipelines.storage import ObjectDamaged, ObjectMissing
from rssr.inference.tile_runner import TileCounts
from rssr.windows import TileWindow

FloatArray = NDArray[np.float32]

log = logging.getLogger(__name__)


class KeptWindows:
    """Computed windows of a scene.

    Args:
        objects: Where they are kept.
        name: Of the scene.
        scene: The same, open.
    """

    def __init__(self, objects: WindowObjects, name: str, scene: OpenScene) -> None:
        self._objects = objects
        self._name = name
        self._scene = scene

    def compute(self, key: str) -> None:
        """Compute a window and keep it.

        Raises:
            RssrError: It failed, or cannot be kept.
        """
        strips, counts = self._scene.compute(key)
        self._objects.put(self._name, key, strips, asdict(counts))

    def fetch(self, window: TileWindow, tile_row: int) -> FloatArray:
        """One strip; see `rssr.windows.assemble`."""
        row = tile_row - window.tile_rows[0]
        try:
            return self._objects.fetch(self._name, window.key, row)
        except (ObjectDamaged, ObjectMissing) as error:
            log.warning("A window is computed once more: %s", error.problem)
            self._objects.delete_window(self._name, window.key)
            self.compute(window.key)
            return self._objects.fetch(self._name, window.key, row)

    def counts(self, keys: Iterable[str]) -> TileCounts:
        """What became of the tiles of some windows together."""
        total = TileCounts()
        for key in keys:
            try:
                noted = self._objects.read_meta(self._name, key)
            except (ObjectDamaged, ObjectMissing):
                self._objects.delete_window(self._name, key)
                self.compute(key)
                noted = self._objects.read_meta(self._name, key)
            total += TileCounts(**noted)
        return total
