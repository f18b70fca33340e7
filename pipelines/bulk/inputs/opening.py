"""Open a scene wherever it lies, as the model needs it, and only if it is what was planned."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pipelines.bulk.inputs.found import (
    MASK_BESIDE,
    MASK_ENDING,
    entries_of_safe,
    files_of_group,
    version_of,
    version_of_all,
)
from pipelines.bulk.inputs.item_files import ItemFiles, is_item_key, read_item_of
from pipelines.bulk.inputs.items import LinkedImage, band_images, item_version
from pipelines.bulk.planning.options import BulkOptions
from pipelines.bulk.records import InputScene
from pipelines.bulk.threads import in_threads
from pipelines.storage import ObjectMissing, StorageSettings, Store, open_store
from pipelines.storage.archive import ARCHIVE_SUFFIXES, ArchiveStore
from pipelines.storage.product_files import StoredFiles, raster_source
from rssr.errors import DataError
from rssr.inference.files import SceneReader, is_virtual_raster, open_scene
from rssr.inference.reflectance import bands_for
from rssr.models.loaded import LoadedModel
from rssr.raster import ByteSource
from rssr.sentinel2 import ProductFiles, open_sentinel2

_HEAD_BYTES = 32
_NUM_REQUESTS = 8


@contextmanager
def opened_scene(
    scene: InputScene,
    model: LoadedModel,
    options: BulkOptions,
    settings: StorageSettings | None,
    *,
    checks_dark_pixels: bool = False,
) -> Iterator[SceneReader]:
    """A scene, open for reading by windows; not for sharing between threads.

    Args:
        scene: As it was found.
        model: Which bands of a product are opened.
        options: Likewise; see `scene_options`.
        settings: How to reach S3; None reads the environment.
        checks_dark_pixels: Whether a product's offset is compared with its darkest pixels; planning does, once.

    Raises:
        DataError: It is not what was planned, or not what is taken for a scene.
        RasterError: A raster or product that cannot be used.
        ImageError: A picture that cannot be used.
        ObjectMissing: It is gone.
        PlaceRefused: The settings do not allow it, by where a link leads.
        StorageError: It cannot be read.
    """
    if settings is not None and scene.location:
        settings.require_allowed(scene.uri)
    if scene.kind == "product":
        files = _product_files(scene, settings)
        bands = bands_for(model, others=options.other_bands)
        with open_sentinel2(files, bands, declared=options.declared, checks_dark_pixels=checks_dark_pixels) as product:
            yield product
        return
    with open_scene(_image_source(scene, settings)) as reader:
        yield reader


def _image_source(scene: InputScene, settings: StorageSettings | None) -> Path | ByteSource:
    if not scene.location:
        raise DataError(f"'{scene.key}' is no address of an image that may be read.", "Correct the item that names it.")
    if scene.version.endswith(MASK_BESIDE):
        raise DataError(
            f"{scene.uri} has its mask in a file beside it ({MASK_ENDING}), which is read on local disks only.",
            "Put it into the image: gdal_translate --config GDAL_TIFF_INTERNAL_MASK YES IN.tif OUT.tif.",
        )
    store = open_store(scene.location, settings)
    entry = store.stat(scene.key)
    _require_version(scene, version_of(entry))
    if scene.key.lower().endswith(ARCHIVE_SUFFIXES) and not isinstance(store, ArchiveStore):
        _refuse_archive(open_store(store.describe(scene.key), settings))
    source = raster_source(store, scene.key, entry.num_bytes)
    read = source.read if isinstance(source, ByteSource) else partial(store.read_range, scene.key)
    if is_virtual_raster(read(0, _HEAD_BYTES)):
        raise DataError(
            f"{scene.uri} is a VRT: it names other files, and nobody would notice where these change.",
            "Give those files, or make one of them: gdal_translate IN.vrt OUT.tif.",
        )
    return source if isinstance(source, ByteSource) else Path(source)


def _product_files(scene: InputScene, settings: StorageSettings | None) -> ProductFiles:
    if is_item_key(scene.key):
        return _item_files(scene, settings)
    store = open_store(scene.location, settings)
    keys = files_of_group(scene.key)
    if keys:
        entries = list(in_threads(store.stat, keys, _NUM_REQUESTS))
    else:
        store = store.child(scene.key) if scene.key else store
        entries = entries_of_safe(store.list())
        if not entries:
            raise ObjectMissing(f"There is nothing below {scene.uri}.", "Check the input.")
    _require_version(scene, version_of_all(entries))
    sizes = {entry.key: entry.num_bytes for entry in entries}
    return StoredFiles(store, list(sizes), scene.uri, settings, sizes)


def _item_files(scene: InputScene, settings: StorageSettings | None) -> ItemFiles:
    item, store, file_key = read_item_of(scene.location, scene.key, settings)
    images = band_images(item, store, file_key, settings)
    entries = list(zip(images, in_threads(LinkedImage.stat, images, _NUM_REQUESTS), strict=True))
    _require_version(scene, item_version(item, entries))
    files = ItemFiles(item, store.describe(file_key), entries)
    files.check()
    return files


def _require_version(scene: InputScene, version: str) -> None:
    if version != scene.version:
        raise DataError(
            f"{scene.uri} has changed since the run was planned.",
            "Put back what was there, or begin anew: with another output, or with fresh=true.",
        )


def _refuse_archive(store: Store) -> None:
    """Say what is wrong with an archive that is itself taken for a scene: it cannot be read, or holds none."""
    store.list()
    raise DataError(f"The archive {store.uri} holds no scenes.", "Leave it out, or pack images.")
