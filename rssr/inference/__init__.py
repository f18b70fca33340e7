"""Running models on images and scenes of any size, in one process and without a cluster.

`super_resolve` is imported when first used, since it knows tensors: scenes are enlarged without PyTorch.
"""

from typing import TYPE_CHECKING, Any

from rssr.inference.chosen_model import check_scale, resolve_model
from rssr.inference.engine import Engine, LrScene
from rssr.inference.files import MemoryReader, SceneFiles, SceneReader, open_scene
from rssr.inference.options import ColorMatching, SamplingArguments, SceneOptions, TilingArguments, TilingOptions
from rssr.inference.products import SideProducts
from rssr.inference.prologue import ScenePrologue
from rssr.inference.scene import ComputedWindows, SceneReport, SceneRun
from rssr.inference.scene_file import SceneArguments, super_resolve_scene
from rssr.inference.tile_runner import TileCounts

if TYPE_CHECKING:
    from rssr.inference.arrays import super_resolve

__all__ = [
    "ColorMatching",
    "ComputedWindows",
    "Engine",
    "LrScene",
    "MemoryReader",
    "SamplingArguments",
    "SceneArguments",
    "SceneFiles",
    "SceneOptions",
    "ScenePrologue",
    "SceneReader",
    "SceneReport",
    "SceneRun",
    "SideProducts",
    "TileCounts",
    "TilingArguments",
    "TilingOptions",
    "check_scale",
    "open_scene",
    "resolve_model",
    "super_resolve",
    "super_resolve_scene",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  # as modules have it
    if name != "super_resolve":
        raise AttributeError(f"module 'rssr.inference' has no attribute '{name}'")
    from rssr.inference.arrays import super_resolve

    return super_resolve
