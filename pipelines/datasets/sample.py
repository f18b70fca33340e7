"""The procedural dataset that `data.uri: sample` stands for, made once and kept with the run's output."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipelines.datasets.config import SAMPLE_URI, DataConfig, SampleConfig
from pipelines.storage import Store
from rssr.configuration import config_digest
from rssr.scenes import write_scene_dataset

_SAMPLE_SEED = 7  # one dataset for everybody, whatever the run's seed
_COMPLETE = "complete"


def resolve_uris(config: DataConfig, home: Store) -> tuple[str, ...]:
    """The locations of `config.uri`, with `sample` replaced by the procedural dataset below `home`.

    Args:
        config: Names the locations.
        home: Root of what the run keeps; the dataset is made there unless it is there already.
    """
    return _resolve(config.uris, config.sample, home)


def _resolve(uris: Sequence[str], sample: SampleConfig, home: Store) -> tuple[str, ...]:
    return tuple(make_sample(sample, home) if uri == SAMPLE_URI else uri for uri in uris)


def make_sample(config: SampleConfig, home: Store) -> str:
    """Make the procedural dataset below `home` unless it is there; returns its URI."""
    folder = home.child(f"sample-data/{config_digest(config, _SAMPLE_SEED)[:12]}")
    if folder.exists(_COMPLETE):
        return folder.child("images").uri
    with tempfile.TemporaryDirectory(prefix="rssr-sample-") as name:
        write_scene_dataset(Path(name), _SAMPLE_SEED, config.num_images, config.size, gsd_m=config.gsd_m)
        folder.upload_folder(Path(name), "images")
    folder.write_bytes(_COMPLETE, b"")
    return folder.child("images").uri
