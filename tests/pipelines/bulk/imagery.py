"""Small scenes as bytes, models that need no training, and places to put them."""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from rasterio.io import MemoryFile

from pipelines.bulk.config import BulkConfig
from pipelines.bulk.inputs.find import find_scenes
from pipelines.bulk.records import InputScene
from pipelines.storage import StorageSettings, Store, open_store
from rssr.card import ModelCard
from rssr.images import encode_jpeg, encode_png
from rssr.models.loaded import LoadedModel, load_model

PLACE = Affine(10, 0, 600_000, 0, -10, 5_100_000)
RGB = ("red", "green", "blue")
NOW = datetime(2026, 11, 29, 4, 25, tzinfo=UTC)


@dataclass(frozen=True)
class Place:
    """A folder or bucket that scenes are put into, and the output beside it."""

    root: str
    settings: StorageSettings
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "store", open_store(self.uri, self.settings))

    @property
    def uri(self) -> str:
        return f"{self.root}/in"

    @property
    def output(self) -> Store:
        return open_store(f"{self.root}/out", self.settings)

    def put(self, key: str, data: bytes) -> str:
        """Its full address."""
        self.store.write_bytes(key, data)
        return f"{self.uri}/{key}"

    def put_folder(self, source: Path, key: str) -> str:
        self.store.upload_folder(source, key)
        return f"{self.uri}/{key}"

    def find(self, *inputs: str) -> list[InputScene]:
        return find_scenes(inputs or (self.uri,), self.settings, self.output)

    def names(self, *inputs: str) -> list[str]:
        return [scene.name for scene in self.find(*inputs)]

    def config(self, **values: Any) -> BulkConfig:
        base = {"input": self.uri, "output": self.output.uri, "scale": 2}
        return BulkConfig.model_validate({**base, **values})


def tif(bands: Sequence[str] = RGB, size: tuple[int, int] = (24, 20), dtype: str = "uint8", **profile: Any) -> bytes:
    """A GeoTIFF of noise; `profile` overrides what rasterio is told. The same arguments give the same bytes."""
    pixels = np.random.default_rng(len(bands)).integers(1, 255, (len(bands), *size)).astype(dtype)
    told = {"transform": PLACE, "crs": "EPSG:32632", "driver": "GTiff", **profile}
    shape = {"count": len(bands), "height": size[0], "width": size[1], "dtype": dtype}
    with MemoryFile() as memory:
        with memory.open(**shape, **told) as dataset:
            dataset.write(pixels)
            dataset.descriptions = tuple(bands)
        return bytes(memory.read())


def png(size: tuple[int, int] = (24, 20), seed: int = 0) -> bytes:
    return encode_png(_noise(size, seed))


def jpg(size: tuple[int, int] = (24, 20), seed: int = 0) -> bytes:
    return encode_jpeg(_noise(size, seed))


def _noise(size: tuple[int, int], seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def item(name: str, hrefs: dict[str, str], roles: Sequence[str] = ("data",), **properties: Any) -> dict[str, Any]:
    """A STAC item; hrefs by the keys of the assets."""
    assets = {key: {"href": href, "roles": list(roles)} for key, href in hrefs.items()}
    told = {"datetime": "2023-06-03T10:26:01Z", **properties}
    return {"type": "Feature", "stac_version": "1.0.0", "id": name, "properties": told, "assets": assets}


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def model(bands: Sequence[str] = RGB, **card: Any) -> LoadedModel:
    """Bicubic interpolation with a card, as trained models have one."""
    told = {"name": "some-x2", "method": "ldcsr", "bands": list(bands), "scale_range": (1, 8), "licence": "CC0", **card}
    plain = load_model("bicubic")
    return LoadedModel(plain.name, plain.resolver, None, {}, ModelCard.model_validate(told))
