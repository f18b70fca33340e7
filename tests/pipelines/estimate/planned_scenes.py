"""Scenes planned as the bulk job plans them, without any file."""

from pipelines.bulk.records import InputScene, PlannedScene
from rssr.tiling import TilePlan, plan_tiles
from rssr.windows import plan_windows


def cut(lr_size: tuple[int, int], scale: float = 4.0, tile_size: int = 64, halo: int = 8) -> TilePlan:
    """A scene cut into tiles."""
    sr_size = (round(lr_size[0] * scale), round(lr_size[1] * scale))
    return plan_tiles(lr_size, sr_size, tile_size, halo)


def planned(
    plan: TilePlan, name: str = "scene", halo: int = 8, tiles_a_side: int = 4, num_bands: int = 4
) -> PlannedScene:
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
        halo=halo,
        num_tiles=len(plan),
        windows=tuple(window.key for window in plan_windows(plan, tiles_a_side)),
    )


def refused(name: str, reason: str) -> PlannedScene:
    """A scene that cannot be run."""
    return PlannedScene(InputScene(name, "/in", f"{name}.tif", "raster", 1000, "1"), refusal=reason)
