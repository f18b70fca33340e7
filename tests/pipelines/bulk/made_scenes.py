"""Planned scenes for tests of what never opens one."""

from pipelines.bulk.commits.verify_product import SceneToCheck
from pipelines.bulk.records import InputScene, PlannedScene
from pipelines.storage import Entry


def made_scene(name: str, num_windows: int = 1) -> PlannedScene:
    """A scene of some windows, and of nothing else."""
    scene = InputScene(name, "/in", f"{name}.tif", "raster", 1, "1")
    windows = tuple(f"r{number:04d}c0000" for number in range(num_windows))
    return PlannedScene(scene, lr_size=(8, 8), sr_size=(32, 32), windows=windows)


def made_check(name: str, num_bytes: int = 1) -> SceneToCheck:
    """A scene without an entry in the ledger, and with a file."""
    key = f"{name}.tif"
    return SceneToCheck(made_scene(name), None, {key: Entry(key, num_bytes, "1")})
