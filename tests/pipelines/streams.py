"""Small datasets, and the streams over them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipelines.datasets import DataConfig, build_manifest
from pipelines.plan import StreamSpec
from pipelines.stream import StreamInputs
from rssr.images import encode_jpeg
from rssr.seeds import numpy_generator


def write_noise(folder: Path, sizes: Iterable[tuple[int, int]], num_classes: int) -> Path:
    """JPEG files of noise, no two alike, of these heights and widths, dealt out to the classes in turn."""
    for number, size in enumerate(sizes):
        pixels = numpy_generator("noise", number).integers(0, 256, (*size, 3)).astype(np.uint8)
        path = folder / f"class{number % num_classes}" / f"{number:02d}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode_jpeg(pixels))
    return folder


def inputs_of(uri: str, config: DataConfig, spec: StreamSpec) -> StreamInputs:
    """The stream over all images of a location, with room for some of them in memory."""
    manifest = build_manifest([uri], config, seed=0)
    images = manifest.training_images(spec.largest_patch_size)
    return StreamInputs(images, manifest.sources, spec, config.degradation, max_cached_bytes=10**6)
