"""Running models on images and scenes of any size, in one process and without a cluster."""

from rssr.inference.arrays import super_resolve
from rssr.inference.chosen_model import check_scale, resolve_model
from rssr.inference.engine import Engine, LrScene
from rssr.inference.options import ColorMatching, SamplingArguments, TilingArguments, TilingOptions
from rssr.inference.scene import SceneArguments, SceneReport, super_resolve_scene

__all__ = [
    "ColorMatching",
    "Engine",
    "LrScene",
    "SamplingArguments",
    "SceneArguments",
    "SceneReport",
    "TilingArguments",
    "TilingOptions",
    "check_scale",
    "resolve_model",
    "super_resolve",
    "super_resolve_scene",
]
