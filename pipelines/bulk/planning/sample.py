"""The procedural scenes that `input: sample` stands for, made once a machine."""

from pathlib import Path
from typing import TypeVar

from pipelines.bulk.config import BulkConfig
from pipelines.storage.cache import cache_folder
from rssr.scenes.geotiff import write_scene_geotiff

ConfigT = TypeVar("ConfigT", bound=BulkConfig)

SAMPLE = "sample"
_NUM_SCENES = 4
_SIZES = ((192, 256), (300, 200))  # LR pixels, in turn
_GSD_M = 1.6
_RULES_VERSION = 1  # raise it when other scenes are made, so that no old ones are taken


def sample_scenes() -> Path:
    """A folder of small georeferenced scenes of different kinds and sizes."""
    folder = cache_folder("sample-scenes") / str(_RULES_VERSION)
    for number in range(_NUM_SCENES):
        path = folder / f"scene_{number}.tif"
        if not path.exists():  # written aside: it is whole if it is there
            height, width = _SIZES[number % len(_SIZES)]
            write_scene_geotiff(path, number, height, width, _GSD_M)
    return folder


def with_sample(config: ConfigT) -> ConfigT:
    """The configuration with these scenes in place of `sample`."""
    uris = tuple(str(sample_scenes()) if uri == SAMPLE else uri for uri in config.input)
    return config.model_copy(update={"input": uris})
