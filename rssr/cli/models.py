"""`rssr models`: which models there are, how large they are, and whether their weights are here."""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rssr.plain_table import format_table

if TYPE_CHECKING:
    from rssr.methods.slimdiffsr.accounting import Share

NAME = "models"
HELP = (
    "List all models: parameters that run, the published count and why it differs, multiply-accumulates at 512x512 (or "
    "the size beside them), scales, weights found or not."
)
_SIDE = 512  # pixels; the papers' usual size


@dataclass(frozen=True)
class ModelLine:
    """One model in the list.

    Attributes:
        name: Model name.
        summary: What it is.
        live_parameters: Parameters that a forward pass reads; None where the model needs files to be built.
        published_parameters: What the paper's figure counts; None where there is no such figure.
        difference: Published minus live.
        difference_parts: The difference by cause.
        layer_macs: Multiply-accumulates of convolutions and linear layers for one SR image; None where the network
            takes no such image, or needs files to be built.
        attention_macs: Those of the products inside attention, likewise.
        macs_side: Side of that image, pixels.
        scale_range: Smallest and largest published scale.
        weights: Folder of the weights; empty where none are found; None where none are needed.
    """

    name: str
    summary: str
    live_parameters: int | None
    published_parameters: int | None
    difference: int | None
    difference_parts: dict[str, int]
    layer_macs: int | None
    attention_macs: int | None
    macs_side: int
    scale_range: tuple[float, float] | None
    weights: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="print JSON, with the causes of every difference")
    forms.add_argument(
        "--shares",
        action="store_true",
        help="instead, compare the UNet and the autoencoder of Stable Diffusion 2.1 (SlimDiffSR, Table 1)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the list, or the shares."""
    if arguments.shares:
        from rssr.methods.slimdiffsr.accounting import table_1

        text = shares_table(table_1())
    else:
        lines = collect()
        text = json.dumps([asdict(line) for line in lines], indent=2) if arguments.json else table(lines)
    sys.stdout.write(text + "\n")
    return 0


def collect() -> list[ModelLine]:
    """Look every model up."""
    from rssr.models.registry import list_models

    return [_look_up(name) for name in list_models()]


def table(lines: list[ModelLine]) -> str:
    """The list as aligned text."""
    rows = [("NAME", "LIVE", "PUBLISHED", "DIFFERENCE", "GMAC", "SCALES", "WEIGHTS", "")]
    rows += [
        (
            line.name,
            _count(line.live_parameters),
            _count(line.published_parameters),
            _count(line.difference),
            _giga_macs(line),
            _scales(line),
            "not needed" if line.weights is None else line.weights or "not found",
            line.summary,
        )
        for line in lines
    ]
    return format_table(rows, right={1, 2, 3, 4})


def shares_table(shares: "list[Share]") -> str:
    """Table 1 as counted here, beside what the paper prints."""
    rows = [("QUANTITY", "UNET", "VAE", "SHARES", "PAPER", "")]
    rows += [
        (
            share.quantity,
            f"{share.unet:,}",
            f"{share.vae:,}",
            _percent(share.percent, 2),
            _percent(share.paper, share.num_decimals),
            "reproduced" if share.is_reproduced else "not reproduced",
        )
        for share in shares
    ]
    title = f"Stable Diffusion 2.1's UNet and autoencoder at {_SIDE}x{_SIDE} pixels (SlimDiffSR, Table 1)"
    return f"{title}\n\n{format_table(rows, right={1, 2, 3, 4})}\n\n{_conclusion(shares)}"


def _look_up(name: str) -> ModelLine:
    from rssr.errors import ModelError
    from rssr.models.loaded import models_folder
    from rssr.models.registry import count_image_macs, count_parameters, model_entry
    from rssr.weights.folder import is_model_folder

    entry = model_entry(name)
    try:
        count = count_parameters(name)
        live, published, difference, parts = count.live, count.published, count.difference, dict(count.parts)
        macs = count_image_macs(name, _SIDE)
    except ModelError:  # built with packages that are not here, e.g. the teacher
        live, published, difference, parts, macs = None, None, None, {}, None
    folder = models_folder() / name
    weights = str(folder) if is_model_folder(folder) else ""
    return ModelLine(
        name=name,
        summary=entry.summary,
        live_parameters=live,
        published_parameters=published,
        difference=difference,
        difference_parts=parts,
        layer_macs=None if macs is None else macs.layers,
        attention_macs=None if macs is None else macs.attention,
        macs_side=entry.cost_sides[1] if entry.cost_sides else _SIDE,
        scale_range=entry.scale_range,
        weights=weights if entry.method else None,
    )


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _giga_macs(line: ModelLine) -> str:
    """Layers and attention together."""
    if line.layer_macs is None or line.attention_macs is None:
        return "-"
    size = "" if line.macs_side == _SIDE else f" at {line.macs_side}"
    return f"{(line.layer_macs + line.attention_macs) / 1e9:.1f}{size}"


def _conclusion(shares: "list[Share]") -> str:
    """Which of the paper's shares come out, and from what."""
    reproduced = [share for share in shares if share.is_reproduced]
    sentences = [
        f"The paper's {_percent(share.paper, share.num_decimals)} comes from counting {share.quantity}."
        for share in reproduced
    ]
    explained = {share.paper for share in reproduced}
    sentences += [
        f"The paper's {_percent(share.paper, share.num_decimals)} does not reproduce: counting {share.quantity} gives "
        f"{_percent(share.percent, share.num_decimals)}."
        for share in shares
        if share.paper not in explained
    ]
    return "\n".join(sentences)


def _percent(shares: tuple[float, float], num_decimals: int) -> str:
    return " / ".join(f"{share:.{num_decimals}f}" for share in shares) + " %"


def _scales(line: ModelLine) -> str:
    if line.scale_range is not None:
        low, high = line.scale_range
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return "any" if line.weights is None else "-"
