"""How a scene is run: tiles, colours, batches and samples."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypedDict

from rssr.errors import ConfigError
from rssr.models.resolver import Draws
from rssr.stretch import StretchConfig

if TYPE_CHECKING:
    from rssr.card import ModelCard

ColorMatching = Literal["none", "scene", "local", "authors"]

_DEFAULT_TILE_SIZE = 256  # LR pixels, for models without a card
_DEFAULT_HALO = 16


@dataclass(frozen=True)
class TilingOptions:
    """How a scene is run; None takes the model card's value.

    Attributes:
        tile_size: Largest side of a tile with its halos, LR pixels.
        halo: Context on each side of a tile, LR pixels.
        color_match: `none`; `scene`: mean and deviation, once for the whole scene; `local`: whatever varies slowly,
            place by place and without seams; `authors`: mean and deviation, a tile at a time, as the authors of
            SlimDiffSR do with whole images, which makes seams between tiles.
        batch_size: Tiles at a time on an accelerator; halved as often as needed when its memory is short. The CPU takes
            one at a time. Where one does not fit, it is put together from smaller ones.
    """

    tile_size: int | None = None
    halo: int | None = None
    color_match: ColorMatching | None = None
    batch_size: int = 4

    def completed(self, card: "ModelCard | None") -> "CompleteOptions":
        """Fill what is open from the card."""
        tile_size = self.tile_size or (card.tile_size if card else _DEFAULT_TILE_SIZE)
        halo = self.halo if self.halo is not None else (card.halo if card else _DEFAULT_HALO)
        if self.halo is None and tile_size <= 4 * halo:
            halo = max(0, (tile_size - 1) // 4)  # a smaller tile was asked for, not a smaller share of it
        matching = self.color_match or (card.color_match if card else "none")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size is {self.batch_size}.", "Give at least 1.")
        return CompleteOptions(tile_size, halo, matching, self.batch_size, may_grow=self.tile_size is None)


class TilingArguments(TypedDict, total=False):
    """The fields of `TilingOptions`, as keyword arguments."""

    tile_size: int | None
    halo: int | None
    color_match: ColorMatching | None
    batch_size: int


class SamplingArguments(TilingArguments, total=False):
    """How an image is cut, and what models that draw noise (LDCSR, LCMSR) draw.

    Attributes:
        seed: The same seed gives the same image; by default 0.
        num_samples: How many results are averaged, and how many tell the deviation. None: one, or eight where a
            deviation is wanted.
    """

    seed: int
    num_samples: int | None


@dataclass(frozen=True)
class CompleteOptions:
    """`TilingOptions` with nothing left open.

    Attributes:
        tile_size: As there; likewise those below.
        halo: Context.
        color_match: Colours.
        batch_size: Tiles at a time.
        may_grow: Whether tiles may be larger where a scale needs it: nobody asked for this size.
    """

    tile_size: int
    halo: int
    color_match: ColorMatching
    batch_size: int
    may_grow: bool = False


@dataclass(frozen=True)
class SceneOptions:
    """How one scene is made into a product.

    Attributes:
        tiling: How it is cut and matched.
        draws: Seed and number of samples.
        with_deviation: Whether the product tells how far it may be off.
        project: Whether SR's mean over each LR pixel shall be that pixel.
        other_bands: Whether the product also has the bands that the model does not take, enlarged bicubically.
        stretch: Physical values that the model sees as -1 and 1, for models of pictures; None leaves that to the scene
            and the card.
    """

    tiling: TilingOptions
    draws: Draws
    with_deviation: bool = False
    project: bool = False
    other_bands: bool = False
    stretch: StretchConfig | None = None
