"""Datasets on disk, and models that say what they were trained on, as far as split safety looks at them."""

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipelines.datasets.manifest import ImageRecord, Manifest, write_manifest
from pipelines.evaluation.learnt import TrainedMethod
from pipelines.storage import open_store
from rssr.card import ModelCard, TrainingManifest, digest_of_images
from rssr.images import encode_jpeg, encode_png, probe_image
from tests.pipelines.ingest.conftest import Pixels, picture

FACTS: dict[str, Any] = {"method": "ldcsr", "bands": ["red", "green", "blue"], "scale_range": (4, 4), "licence": "CC0"}


def google(number: int, side: int = 96) -> Pixels:
    """What a dataset might have taken from a map service."""
    return picture("map", number, height=side, width=side)


def again(pixels: Pixels, side: int | None = None, quality: int | None = None) -> bytes:
    """The same picture as another dataset has it: resized, encoded as JPEG, or only as another PNG."""
    if side is not None:
        pixels = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8)
    return encode_png(pixels) if quality is None else encode_jpeg(pixels, quality)


def make_dataset(folder: Path, files: dict[str, bytes], num_train: int = 0) -> Manifest:
    """Write images, and name them in a manifest whose first images are for training."""
    records = []
    for number, (key, data) in enumerate(sorted(files.items())):
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(data)
        probe = probe_image(data, key)
        split, sha256 = "train" if number < num_train else "test", digest(data)
        records.append(ImageRecord(key, 0, split, None, probe.width, probe.height, len(data), sha256))  # type: ignore[arg-type]
    return Manifest((str(folder),), tuple(records))


def digest(data: bytes) -> str:

    return hashlib.sha256(data).hexdigest()


def make_method(home: Path, name: str, manifest: Manifest, told: str = "list") -> TrainedMethod:
    """A method that was trained on the training images of a manifest.

    Args:
        home: Where its folder and the manifest go.
        name: Of the method.
        manifest: Of its training.
        told: How its card tells: `list`, `digest`, `manifest` or `nothing`; or, without a card, `no card`.
    """
    folder = home / name
    folder.mkdir(parents=True)
    if told == "no card":
        return TrainedMethod(name, None, folder)
    digests = [record.sha256 for record in manifest.split("train")]
    key = f"manifest-{name}"
    (folder / "training_images.txt").write_text("".join(f"{value}\n" for value in sorted(digests)), "ascii")
    named = {"list": "training_images.txt", "digest": digest_of_images(digests)}.get(told)
    training = TrainingManifest(
        uri=f"{home}/{key}", digest=manifest.digest, split="train", num_images=max(len(digests), 1)
    )
    if told == "manifest":
        write_manifest(manifest, open_store(str(home)), key)
    card = ModelCard(
        **FACTS,
        name=name,
        training_images_sha256=named,
        training_manifests=() if told == "nothing" else (training,),
    )
    return TrainedMethod(name, card, folder)
