"""A golden scene: a small one whose every pixel is known, from its making to a product on disk.

What is compared are pixels, never files, which other versions of GDAL compress otherwise. Where they differ, sums of
rows tell rounding, by which processors and versions of libraries differ, from results that are wrong.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from rssr.doctor.finding import DoctorOptions, Finding, failed, ok

if TYPE_CHECKING:
    from rssr.raster import Raster

RECORD = Path(__file__).with_name("golden.json")
SCALE = 4
_SEED, _KIND, _GSD_M, _HR_SIZE = 2026, "suburb", 1.0, (128, 160)
_CRS, _CORNER_M = "EPSG:32632", (500_000.0, 5_200_000.0)
_BANDS = ("red", "green", "blue")
# Levels of 256, on average over a row and all bands. Another order of JPEG's roundings moves some blocks by a level or
# two; a shift by half a pixel, exchanged bands or another kernel move all rows, and by more.
_ROUNDING = 0.5


@dataclass(frozen=True)
class Pixels:
    """What is recorded of an image.

    Attributes:
        shape: (H, W, C).
        sha256: Of its bytes, uint8 in this order.
        row_sums: Sum of each row's pixels over columns and bands.
    """

    shape: tuple[int, int, int]
    sha256: str
    row_sums: tuple[int, ...]

    @classmethod
    def of(cls, image: NDArray[np.uint8]) -> "Pixels":
        """Of uint8 [H, W, C]."""
        height, width, bands = image.shape
        sums = image.astype(np.int64).sum(axis=(1, 2))
        digest = hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()
        return cls((height, width, bands), digest, tuple(int(value) for value in sums))

    def distance(self, other: "Pixels") -> float:
        """Largest difference between two rows' means, levels of 256."""
        if self.shape != other.shape:
            return float("inf")
        _, width, bands = self.shape
        pairs = zip(self.row_sums, other.row_sums, strict=True)
        return max(abs(mine - theirs) for mine, theirs in pairs) / (width * bands)


def check_golden(options: DoctorOptions) -> Finding:
    """Compute it, and compare every step with what is recorded."""
    with tempfile.TemporaryDirectory(prefix="rssr-doctor-") as folder:
        computed = compute_golden(Path(folder))
    return compare(computed, read_record())


def compute_golden(folder: Path) -> dict[str, Pixels]:
    """Paint the scene, degrade it, super-resolve it bicubically, write the product and read it back.

    Args:
        folder: Where the LR scene and the product are written.

    Returns:
        By step: `scene`, `degraded`, `product`.

    Raises:
        RasterError: The product is no valid COG, or does not lie where its scene does.
    """
    from rssr.degradation import degradation_preset, degrade
    from rssr.inference import super_resolve_scene
    from rssr.raster import Raster, read_raster, write_geotiff
    from rssr.scenes import generate_scene

    scene = generate_scene(_SEED, *_HR_SIZE, gsd_m=_GSD_M, kind=_KIND)
    degraded = degrade(scene, SCALE, degradation_preset("slimdiffsr"), _SEED)
    transform = Affine.translation(*_CORNER_M) * Affine.scale(_GSD_M * SCALE, -_GSD_M * SCALE)
    lr_path, product_path = folder / "lr.tif", folder / "product.tif"
    write_geotiff(lr_path, Raster(degraded.transpose(2, 0, 1), transform, _CRS, band_names=_BANDS))
    super_resolve_scene(lr_path, product_path, "bicubic", SCALE)  # writes a COG, and validates it
    product = read_raster(product_path)
    _require_place(product)
    pixels = np.asarray(product.pixels, np.uint8).transpose(1, 2, 0)
    return {"scene": Pixels.of(scene), "degraded": Pixels.of(degraded), "product": Pixels.of(pixels)}


def compare(computed: Mapping[str, Pixels], recorded: Mapping[str, Pixels]) -> Finding:
    """Say which step differs first, and whether any of them differs by more than rounding."""
    distances = {
        step: computed[step].distance(expected)
        for step, expected in recorded.items()
        if computed[step].sha256 != expected.sha256
    }
    if not distances:
        steps = " -> ".join(f"{step} {pixels.sha256[:8]}" for step, pixels in computed.items())
        return ok("golden", f"as recorded: {steps}")
    wrong = {step: distance for step, distance in distances.items() if distance > _ROUNDING}
    step, distance = next(iter((wrong or distances).items()))
    words = f"'{step}' differs from the recorded pixels by {distance:.2g} levels of 256 in a row's mean"
    if wrong:
        remedy = "Install the versions that are tested: `pip install --constraint constraints.txt .`"
        return failed("golden", words, remedy)
    return ok("golden", f"as recorded but for rounding, which is each processor's own: {words}")


def read_record(path: Path = RECORD) -> dict[str, Pixels]:
    """What is recorded, by step."""
    steps = json.loads(path.read_text(encoding="utf-8"))
    return {name: Pixels(tuple(step["shape"]), step["sha256"], tuple(step["row_sums"])) for name, step in steps.items()}


def write_record(computed: Mapping[str, Pixels], path: Path = RECORD) -> None:
    """Record what was computed: only where the scene, the degradation or the interpolation is meant to change."""
    from rssr.publish import write_aside

    steps = {name: asdict(pixels) for name, pixels in computed.items()}
    with write_aside(path) as aside:
        aside.write_text(json.dumps(steps) + "\n", encoding="utf-8")


def _require_place(product: "Raster") -> None:
    """The product lies on the ground of its scene."""
    from rssr.errors import RasterError

    transform = Affine.translation(*_CORNER_M) * Affine.scale(_GSD_M, -_GSD_M)
    if product.crs != _CRS or not product.transform.almost_equals(transform) or product.band_names != _BANDS:
        raise RasterError(
            f"The golden product lies elsewhere: {product.crs}, {tuple(product.transform)[:6]}, {product.band_names}.",
            "Install the versions that are tested: `pip install --constraint constraints.txt .`",
        )
