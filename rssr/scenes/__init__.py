"""Procedural overhead scenes: sample data that needs no download, made from a seed."""

from rssr.scenes.dataset import write_scene_dataset
from rssr.scenes.generate import SCENE_KINDS, generate_scene
from rssr.scenes.geotiff import write_scene_geotiff

__all__ = ["SCENE_KINDS", "generate_scene", "write_scene_dataset", "write_scene_geotiff"]
