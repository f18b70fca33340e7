"""The reader that suits the images: pictures, or squares of Sentinel-2 products."""

from collections.abc import Sequence

from pipelines.datasets.scenes_config import ScenesConfig
from pipelines.stages.read import ReadPatches, StoredImage
from pipelines.storage import StorageSettings


def patch_reader(
    images: Sequence[StoredImage],
    sources: Sequence[str],
    scenes: ScenesConfig | None,
    max_cached_bytes: int = 0,
    settings: StorageSettings | None = None,
) -> ReadPatches:
    """What reads planned patches and whole images.

    Args:
        images: All images, in the plan's order.
        sources: Data locations.
        scenes: How products are read; None for pictures.
        max_cached_bytes: Bound on decoded images kept.
        settings: How to reach S3; None reads the environment of the process that reads.
    """
    if scenes is None:
        return ReadPatches(images, sources, 0, max_cached_bytes, settings)
    from pipelines.stages.read_scenes import ReadScenePatches  # GDAL takes a while to load

    return ReadScenePatches(images, sources, scenes, max_cached_bytes, settings)
