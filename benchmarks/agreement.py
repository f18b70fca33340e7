"""How far a model's fast form is from the model itself, in images of 8 bit.

Every image below a folder is reduced to LR, super-resolved by the model as it is (eager, float32) and as `prepare_fast`
makes it, and the two results are compared: PSNR over all bands after rounding. Trained weights tell most; models that
draw noise draw the same for both.

Run: python benchmarks/agreement.py MODEL_FOLDER IMAGE_FOLDER [--scale 4] [--max-images 20]
"""

import argparse
import itertools
import math
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

if not __package__:  # started as a file, perhaps where rssr is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import describe_machine
from rssr import super_resolve
from rssr.degradation import DegradationConfig, degrade
from rssr.errors import ImageError
from rssr.images import decode_image
from rssr.models.fast import fast_dtype, fast_model
from rssr.models.loaded import load_model

Pixels = NDArray[np.uint8]


def lr_images(folder: Path, scale: float, max_images: int) -> Iterator[Pixels]:
    """LR images, uint8 [h, w, 3], of the first readable images below a folder by name."""
    config = DegradationConfig.model_validate({"kind": "bicubic"})
    for path in itertools.islice(_readable(folder), max_images):
        pixels = decode_image(path.read_bytes(), str(path)).pixels
        height, width = (math.floor(math.floor(side / scale) * scale) for side in pixels.shape[:2])
        yield degrade(np.ascontiguousarray(pixels[:height, :width]), scale, config, 0)


def agreement_db(one: Pixels, other: Pixels) -> float:
    """PSNR between two images of 8 bit, dB; infinite where they are equal."""
    error = np.square(one.astype(np.float64) - other).mean()
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def _readable(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        try:
            if path.is_file() and decode_image(path.read_bytes(), str(path)).pixels.ndim == 3:
                yield path
        except ImageError:
            continue


def main() -> None:
    """Compare image by image and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model", type=Path, help="folder of a trained model")
    parser.add_argument("images", type=Path, help="folder of HR images")
    parser.add_argument("--scale", type=float, default=4.0)
    parser.add_argument("--max-images", type=int, default=20)
    options = parser.parse_args()
    model = load_model(options.model)
    fast = fast_model(model)
    values = []
    for lr in lr_images(options.images, options.scale, options.max_images):
        results = [super_resolve(lr, form, options.scale) for form in (model, fast)]
        values.append(agreement_db(results[0], results[1]))
    if not values:
        parser.error(f"there is no image below {options.images}")
    device = torch.device("cpu")
    print(describe_machine(device))
    print(
        f"- {model.name}, fast in {fast_dtype(device)}, against eager float32 at scale {options.scale:g}: "
        f"{len(values)} images, at least {min(values):.1f} dB, median {statistics.median(values):.1f} dB"
    )


if __name__ == "__main__":
    main()
