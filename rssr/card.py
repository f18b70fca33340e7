"""The model card: what a model was made for, checked against the input before it runs."""

import hashlib
import json
import re
import sys
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from rssr.configuration import Config, to_yaml
from rssr.errors import ModelError
from rssr.stretch import Stretch

SCHEMA_FILE = "card.schema.json"

_SHA256 = re.compile(r"[0-9a-f]{64}")


class TrainingManifest(Config):
    """One list of images that the model was trained or chosen on."""

    uri: str
    """Where the manifest lies."""
    digest: str
    """Digest of the manifest."""
    split: str
    """Split taken from it, e.g. train."""
    num_images: int = Field(ge=0)
    """Images in that split."""


class Uncertainty(Config):
    """How the model's error bars came about, and how well they hold on images that they were not fitted on.

    An error bar is the half-width that holds 68 % of the errors of one pixel and band. Lengths are in the units of the
    pixel values.
    """

    fitted_on: TrainingManifest | None = None
    """Held-out images that the error bars were fitted on; the network itself was trained on none of them. Null where
    nothing was fitted: error bars are then how much samples differ."""
    fitted_images_sha256: str | None = None
    """As training_images_sha256, for those images."""
    num_images: int = Field(ge=1)
    """Other held-out images, on which the figures below were measured."""
    rmse: float = Field(ge=0)
    """Root of the mean squared error."""
    rms_deviation: float = Field(ge=0)
    """Root of the mean squared error bar; equal to rmse where error bars hold and errors are normal."""
    correlation: float = Field(ge=-1, le=1)
    """Correlation of error bars with absolute errors, pixel by pixel."""
    coverage_1: float = Field(ge=0, le=1)
    """Share of errors within one error bar; 0.683 where error bars hold."""
    coverage_2: float = Field(ge=0, le=1)
    """Share of errors within two error bars; 0.954 if errors are normal."""
    calibration_error: float = Field(ge=0)
    """Mean relative distance between the two columns of the reliability; 0 is perfect."""
    likelihood_gain: float
    """Mean log-likelihood of the errors above that of one constant error bar, nats a value, both at the length that
    suits it best; below 0 they tell less."""
    reliability: tuple[tuple[float, float], ...] = ()
    """Mean error bar and root of the mean squared error of about ten groups of like error bars, ascending."""

    @field_validator("fitted_images_sha256")
    @classmethod
    def _digest_or_plain_name(cls, value: str | None) -> str | None:
        return _digest_or_plain_name(value)


class TileDependence(Config):
    """How much results depend on the size of tiles; measured at the end of training, and by `benchmarks/tiles.py`."""

    psnr_db: float | None = Field(default=None, ge=0)
    """PSNR between results with tiles of 256 and of 512 LR pixels a side, its peak being the range of values, dB. 120
    where they are as good as equal, null where it was not measured."""
    seam_score: float | None = Field(default=None, ge=1)
    """Largest seam score of the results with tiles of 256 pixels: 1 where tiles do not show, above 1.05 they do."""

    def metrics(self) -> dict[str, float]:
        """Those of them that were measured, as metrics of a run."""
        both = {"tiles/psnr_db": self.psnr_db, "tiles/seam_score": self.seam_score}
        return {name: value for name, value in both.items() if value is not None}


class ModelCard(Config):
    """Facts about a model that inference, evaluation and serving check or show."""

    name: str
    """Name shown to users, e.g. slimdiffsr-x4-quickstart."""
    method: str
    """Method: slimdiffsr, ldcsr or lcmsr."""
    architecture: str = ""
    """One line on depth and widths, with the number of parameters."""
    bands: list[str] = Field(min_length=1)
    """Names of the bands in order, e.g. red, green, blue."""
    scale_range: tuple[float, float]
    """Smallest and largest scale the model was trained for."""
    gsd_range_m: tuple[float, float] | None = None
    """Finest and coarsest ground sample distance of the training LR images, metres; null where unknown."""
    dtype: Literal["uint8", "uint16", "float32"] = "uint8"
    """Type of the training pixels."""
    value_range: tuple[float, float] = (0.0, 255.0)
    """Pixel values that became -1 and 1; of bands that differ, the widest range."""
    stretch: Stretch | None = None
    """How reflectance became network values, a band at a time; null for models of pictures. It is turned round where
    the model runs, so that products are reflectance again."""
    tile_size: int = Field(default=256, ge=1)
    """Side of an inference tile, LR pixels."""
    halo: int = Field(default=16, ge=0)
    """Context on each side of a tile, LR pixels; neighbours share twice as much."""
    color_match: Literal["none", "scene", "local", "authors"] = "none"
    """Default matching of colours to the LR image: none; mean and deviation once per scene; whatever varies slowly,
    place by place; or mean and deviation per image, as the authors."""
    licence: str
    """Licence of the weights, and what it follows from."""
    training_manifests: tuple[TrainingManifest, ...] = ()
    """Images the model has seen."""
    training_images_sha256: str | None = None
    """SHA-256 of the sorted list of the training images' SHA-256, or the name of a text file in the model folder with
    one image SHA-256 a line."""
    uncertainty: Uncertainty | None = None
    """How far images may be off, where the model says so; null where it does not."""
    tile_dependence: TileDependence | None = None
    """How much results depend on the size of tiles; null where it was not measured."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Results by name, unit in the name where there is one, e.g. psnr_db."""
    notes: str = ""
    """Anything a user should know."""
    unofficial_weights: bool = True
    """Whether the weights are not those that the method's authors published."""

    @field_validator("training_images_sha256")
    @classmethod
    def _digest_or_plain_name(cls, value: str | None) -> str | None:
        return _digest_or_plain_name(value)

    @field_validator("bands")
    @classmethod
    def _distinct(cls, value: list[str]) -> list[str]:
        if len(set(value)) != len(value):
            raise ValueError("names of bands must differ")
        return value

    @model_validator(mode="after")
    def _stretch_fits(self) -> Self:
        if self.stretch is not None and (self.dtype != "float32" or list(self.stretch.bands) != self.bands):
            raise ValueError("a stretch takes float32 reflectance of the card's own bands")
        return self

    @model_validator(mode="after")
    def _ordered_ranges(self) -> Self:
        for name in ("scale_range", "gsd_range_m", "value_range"):
            bounds = getattr(self, name)
            if bounds is not None and bounds[0] > bounds[1]:
                raise ValueError(f"{name} must name the smaller value first")
        if self.scale_range[0] < 1:
            raise ValueError("scale_range must not go below 1")
        if self.gsd_range_m is not None and self.gsd_range_m[0] <= 0:
            raise ValueError("gsd_range_m must be above 0")
        return self

    def save(self, path: Path) -> None:
        """Write the card as YAML."""
        path.write_text(to_yaml(self), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a card.

        Raises:
            ModelError: Naming every key that is missing, unknown or ill-typed.
        """
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
            return cls.model_validate(values)
        except OSError as error:
            raise ModelError(f"Card {path} cannot be read: {error.strerror}.", "Check the path.") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ModelError(f"Card {path} is not valid YAML: {error}.", "Mend it or export the model again.") from None
        except ValidationError as error:
            reasons = "; ".join(
                f"{'.'.join(map(str, item['loc'])) or 'card'}: {item['msg']}"
                for item in error.errors(include_url=False)
            )
            raise ModelError(f"Card {path} is not a model card: {reasons}.", "Mend it or export it again.") from None

    def training_images(self, folder: Path) -> frozenset[str]:
        """SHA-256 of every training image; empty where the card carries no list.

        Args:
            folder: The model folder.

        Raises:
            ModelError: If the card names a list that is not there.
        """
        return _read_list(folder, self.training_images_sha256)

    def uncertainty_images(self, folder: Path) -> frozenset[str]:
        """SHA-256 of every image that the error bars were fitted on; see `training_images`."""
        return _read_list(folder, self.uncertainty.fitted_images_sha256 if self.uncertainty else None)


def digest_of_images(digests: Iterable[str]) -> str:
    """SHA-256 of a list of images' SHA-256, as a card names it that does not carry the list: sorted, one a line."""
    return hashlib.sha256("".join(f"{digest}\n" for digest in sorted(digests)).encode()).hexdigest()


def _digest_or_plain_name(value: str | None) -> str | None:
    if value is not None and not _SHA256.fullmatch(value) and (Path(value).name != value or value in ("", "..")):
        raise ValueError("must be 64 hexadecimal digits or the name of a file in the model folder")
    return value


def _read_list(folder: Path, named: str | None) -> frozenset[str]:
    if named is None or _SHA256.fullmatch(named):
        return frozenset()
    try:
        return frozenset((folder / named).read_text(encoding="ascii").split())
    except OSError as error:
        raise ModelError(
            f"The card names the list {named}, which cannot be read in {folder}: {error.strerror}.",
            "Fetch or export the model again.",
        ) from None


def shipped_schema() -> str:
    """The card's JSON schema as it lies in the package, for tools that do not run Python."""
    return resources.files("rssr").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")


def render_schema() -> str:
    """The schema of this version; `python -m rssr.card > rssr/card.schema.json` ships it."""
    return json.dumps(ModelCard.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render_schema())
