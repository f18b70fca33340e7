"""How much a model's results depend on the size of its tiles: PSNR between tiles of 256 and 512, and the seam score.

Normalising layers, gates and attention look at the whole tile, so that a network's pixels depend a little on how a
scene is cut. Scenes should be wider than 512 pixels. With --card the figures are put on the card of the model's folder.
Asserts nothing.

Run: python benchmarks/tiles.py MODEL SCENE... [--scale 4] [--tiles 256 512] [--halo N] [--color-match ...] [--card]
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # started as a file, perhaps where rssr is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import describe_machine, markdown_table
from rssr.card import ModelCard, TileDependence
from rssr.errors import ModelError, RssrError
from rssr.inference import resolve_model
from rssr.inference.chosen_model import model_device
from rssr.inference.options import SceneOptions, TilingOptions
from rssr.inference.planning import plan_draws
from rssr.inference.tile_dependence import LARGE_TILE, SMALL_TILE, measure_tile_dependence
from rssr.metrics.seams import SEAM_LIMIT
from rssr.models.loaded import LoadedModel, find_model_folder
from rssr.weights.folder import CARD_FILE

_LEAST_DB = 40.0  # that results should have in common


def main(arguments: Sequence[str]) -> int:
    """Measure, print and, where asked for, put the figures on the card; the exit status says whether that worked."""
    options = _parser().parse_args(arguments)
    try:
        model = resolve_model(options.model, options.device)
        found = _measure(model, options)
        if options.card:
            _put_on_card(find_model_folder(options.model), found)
    except RssrError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    return 0


def _measure(model: LoadedModel, options: argparse.Namespace) -> TileDependence:
    tiling = TilingOptions(halo=options.halo, color_match=options.color_match)
    draws = plan_draws(model, options.seed, None, with_deviation=False)
    how, sizes = SceneOptions(tiling, draws), (options.tiles[0], options.tiles[1])
    rows = [["scene", f"PSNR between tiles of {sizes[0]} and {sizes[1]}, dB", f"seam score with tiles of {sizes[0]}"]]
    found = []
    for scene in [[scene] for scene in options.scenes] + ([options.scenes] if len(options.scenes) > 1 else []):
        found.append(measure_tile_dependence(model, scene, options.scale, how, sizes))
        name = scene[0].name if len(scene) == 1 else "all"
        psnr = "none" if found[-1].psnr_db is None else f"{found[-1].psnr_db:.1f}"
        rows.append([name, psnr, f"{found[-1].seam_score:.3f}"])
    print(f"{describe_machine(model_device(model))}\n{model.name} x{options.scale:g}")
    print(f"wanted: at least {_LEAST_DB:g} dB, at most {SEAM_LIMIT:g}\n\n{markdown_table(rows)}")
    return found[-1]


def _put_on_card(folder: Path, found: TileDependence) -> None:
    path = folder / CARD_FILE
    if not path.is_file():
        raise ModelError(f"{folder} has no card.", "Export the model again.")
    ModelCard.load(path).model_copy(update={"tile_dependence": found}).save(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="name, model folder or URI")
    parser.add_argument("scenes", nargs="+", type=Path, metavar="SCENE", help="GeoTIFF, JPEG 2000 or picture")
    parser.add_argument("--scale", type=float, default=4.0)
    parser.add_argument("--tiles", nargs=2, type=int, default=[SMALL_TILE, LARGE_TILE], metavar=("SMALL", "LARGE"))
    parser.add_argument("--halo", type=int, help="default: the model's")
    parser.add_argument("--color-match", choices=("none", "scene", "local", "authors"), help="default: the model's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device")
    parser.add_argument("--card", action="store_true", help="put the figures on the card of the model's folder")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
