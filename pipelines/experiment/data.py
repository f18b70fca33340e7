"""The images of an experiment: the procedural sample where asked for, and the split manifest."""

import logging
from collections.abc import Iterable

from pipelines.datasets.build import load_or_build_manifest
from pipelines.datasets.manifest import Manifest
from pipelines.datasets.sample import resolve_uris
from pipelines.datasets.scenes import load_or_build_scene_manifest
from pipelines.experiment.config import JobConfig
from pipelines.progress import Progress, printable
from pipelines.storage import Store, is_local, local_path
from rssr.configuration import config_digest
from rssr.methods.method import Method

log = logging.getLogger(__name__)


def check_patches(method: Method, phases: Iterable[str], manifest: Manifest, largest_scale: float) -> None:
    """Find out before the first phase whether each phase has images that hold its patches at every scale.

    Raises:
        DataError: Naming the images' and the patches' size.
    """
    for phase in phases:
        manifest.images_of_phase(method.training_config(phase), largest_scale)


def find_images(config: JobConfig, home: Store) -> tuple[Manifest, str]:
    """Make the manifest of all images, or reuse the one that still describes them.

    Returns:
        The manifest, and its key below `home`.
    """
    uris = tuple(str(local_path(uri)) if is_local(uri) else uri for uri in resolve_uris(config.data, home))
    key = f"manifests/{config_digest(list(uris), config.data, config.seed)[:16]}"
    with Progress("reading images") as progress:
        build = load_or_build_manifest if config.data.scenes is None else load_or_build_scene_manifest
        manifest = build(home, key, uris, config.data, config.seed, progress.update)
    for kind, count in sorted(manifest.conversions.items()):
        log.info("%d %s: %s", count, "images were converted" if config.data.scenes is None else "squares", kind)
    for skipped in manifest.skipped:
        log.warning("skipped %s: %s", printable(skipped.key), skipped.reason)
    counts = len(manifest.split("train")), len(manifest.split("test")), len(manifest.skipped)
    log.info("%d images for training, %d held out, %d skipped", *counts)
    return manifest, key
