"""Datasets: which images there are, what they hold, which are held out, and how they are used."""

from pipelines.datasets.build import build_manifest, load_or_build_manifest
from pipelines.datasets.config import DataConfig
from pipelines.datasets.manifest import ImageRecord, Manifest, Skipped, read_manifest, write_manifest
from pipelines.datasets.sample import resolve_uris

__all__ = [
    "DataConfig",
    "ImageRecord",
    "Manifest",
    "Skipped",
    "build_manifest",
    "load_or_build_manifest",
    "read_manifest",
    "resolve_uris",
    "write_manifest",
]
