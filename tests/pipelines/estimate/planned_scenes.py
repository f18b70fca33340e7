"""Scenes planned as the bulk job plans them, without any file."""

from pipelines.bulk.records import InputScene, PlannedScene
from pipelines.estimate.workload import Layers, SceneWork, scene_work
from rssr.tiling import TilePlan, plan_tiles
from rssr.windows import plan_windows

TILE_SIZE, HALO = 64, 8


def cut(lr_size: tuple[int, int], scale: float = 4.0, tile_size: int = TILE_SIZE, halo: int = HALO) -> TilePlan:
    """A scene cut into tiles."""
    sr_size = (round(lr_size[0] * scale), round(lr_size[1] * scale))
    return plan_tiles(lr_size, sr_size, tile_size, halo)


def planned(plan: TilePlan, tiles_a_side: int = 4, num_bands: int = 4, name: str = "scene") -> PlannedScene:
    """What the bulk job knows of it."""
    num_bytes = 2 * num_bands * plan.lr_size[0] * plan.lr_size[1]
    return PlannedScene(
        scene=InputScene(name, "/in", f"{name}.tif", "raster", num_bytes, "1"),
        lr_size=plan.lr_size,
        sr_size=plan.sr_size,
        dtype="uint16",
        band_names=tuple(f"band_{band}" for band in range(num_bands)),
        crs="EPSG:32632",
        bounds=(9.0, 47.0, 9.1, 47.1),
        gsd_m=10.0,
        tile_size=max(span.lr[1] - span.lr[0] for span in (*plan.rows, *plan.columns)),
        halo=HALO,
        num_tiles=len(plan),
        windows=tuple(window.key for window in plan_windows(plan, tiles_a_side)),
    )


def work_of(plan: TilePlan, layers: Layers | None = None, num_bands: int = 4) -> SceneWork:
    """What it asks for."""
    layers = layers or Layers(tile_size=TILE_SIZE, tiles_a_side=4)
    return scene_work(planned(plan, layers.tiles_a_side, num_bands), plan, layers)
