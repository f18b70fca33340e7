"""What a bulk run costs beside its model, and beside the strongest peer.

First, end to end: a scene is super-resolved by a network in one process, as the bulk job does it, and the same tiles by
the bare network; compared are tiles a CPU-second, all of the job's included: start, reading, blending, finishing,
compression, layers, STAC item, ledger, verification and report. Second, I/O alone: a scene of 2048 x 2048 pixels and
four bands of uint16 to a validated Cloud Optimized GeoTIFF by plain interpolation, beside opensr-utils' interpolation
of the same scene where --peer names a Python that has it. Runs alternate; medians; peak memory of each process.

Run: python benchmarks/bulk.py [--rounds 3] [--only network|interpolation] [--peer PYTHON] [--side 2048]
"""

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from affine import Affine

if not __package__:  # started as a file, perhaps where rssr is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import describe_machine, markdown_table
from rssr.card import ModelCard
from rssr.errors import ExitCode
from rssr.models.registry import create_model
from rssr.raster import Radiometry, Raster, write_geotiff
from rssr.scenes.generate import generate_scene
from rssr.weights.folder import save_model_folder

ROOT = Path(__file__).resolve().parents[1]
_GSD_M = 10.0
_SCALE = 4
_NETWORK_SIDE = 448  # LR pixels of the scene that goes through the network
_TILE, _HALO = 128, 8
_MIB = 2**20
_BARE = """
import sys, time, torch
from pathlib import Path
from rssr.allocator import keep_freed_memory
from rssr.inference import TilingOptions, open_scene
from rssr.inference.planning import plan_scene
from rssr.models.loaded import load_model
keep_freed_memory(); torch.set_num_threads(1)
model = load_model(sys.argv[1])
with open_scene(Path(sys.argv[2])) as reader:
    pixels = torch.from_numpy(reader.read().pixels.astype("float32")) / 127.5 - 1
plan = plan_scene(model, tuple(pixels.shape[1:]), 4, TilingOptions().completed(model.card))
tiles = list(plan.tiles)
started = time.process_time()
with torch.inference_mode():
    for tile in tiles:
        model.resolver(pixels[None, :, tile.lr[0], tile.lr[1]], tile.sr_size)
print(len(tiles), time.process_time() - started)
"""
_PEER = """
import sys, opensr_utils
opensr_utils.super_resolve(sys.argv[1], model=None, output=sys.argv[2], factor=4, device="cpu")
"""


@dataclass
class Cost:
    """Of one process.

    Attributes:
        wall_s: Wall-clock time.
        cpu_s: Processor time.
        peak_bytes: Largest resident memory.
        out: What it printed.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int
    out: str


def main() -> None:
    """Measure and print."""
    options = _parse()
    with tempfile.TemporaryDirectory(prefix="rssr-bulk-") as name:
        folder = Path(name)
        maker = multiprocessing.get_context("spawn").Process(target=_make, args=(folder, options.side))
        maker.start()  # a process of its own: what is started inherits the peak memory of who starts it
        maker.join()
        print(describe_machine(torch.device("cpu")))
        if options.only != "interpolation":
            print(f"\nSlimDiffSR's student of published size, {_NETWORK_SIDE} x {_NETWORK_SIDE} pixels x{_SCALE}\n")
            print(_beside_network(folder, options.rounds))
        if options.only == "network":
            return
        print(f"\nInterpolation, {options.side} x {options.side} pixels x{_SCALE}, four bands of uint16\n")
        print(_beside_peer(folder, options))


def _beside_network(folder: Path, num_rounds: int) -> str:
    bare_rates, job_rates, walls, peaks = [], [], [], []
    for number in range(num_rounds):
        _say(f"network, round {number + 1} of {num_rounds}")
        bare = _run([sys.executable, "-c", _BARE, str(folder / "model"), str(folder / "small" / "town.tif")])
        num_tiles, bare_s = int(bare.out.split()[0]), float(bare.out.split()[1])
        job = _bulk(folder, folder / "small", f"small{number}", f"model={folder / 'model'}")
        bare_rates.append(num_tiles / bare_s)
        job_rates.append(num_tiles / job.cpu_s)
        walls.append(job.wall_s)
        peaks.append(job.peak_bytes)
    share = statistics.median(job_rates) / statistics.median(bare_rates)
    rows = [
        ("", "median"),
        ("bare network, tiles a CPU-second", f"{statistics.median(bare_rates):.3f}"),
        ("bulk job, tiles a CPU-second", f"{statistics.median(job_rates):.3f}"),
        ("share (wanted: at least 0.80)", f"{share:.3f}"),
        *_rates(_NETWORK_SIDE, statistics.median(walls)),
        ("peak memory, MiB", f"{statistics.median(peaks) / _MIB:.0f}"),
    ]
    return markdown_table(rows)


def _beside_peer(folder: Path, options: argparse.Namespace) -> str:
    scene = folder / "large" / "scene.tif"
    ways: dict[str, list[Cost]] = {
        "rssr sr, bicubic, to a COG": [],
        "bulk job, bicubic, keep_windows=false, with layers and proof": [],
    }
    if options.peer:
        ways["opensr-utils, bilinear"] = []
    for number in range(options.rounds):
        for way in ways if number % 2 == 0 else reversed(ways):
            _say(f"{way}, round {number + 1} of {options.rounds}")
            ways[way].append(_one_way(way, folder, scene, number, options.peer))
    rows = [("way", "wall clock, s", "CPU, s", "peak memory, MiB", "Mpx/s", "km2/s at 10 m")]
    for way, costs in ways.items():
        wall, cpu = (statistics.median(getattr(cost, name) for cost in costs) for name in ("wall_s", "cpu_s"))
        peak = statistics.median(cost.peak_bytes for cost in costs)
        mpx, km2 = (_SCALE * options.side) ** 2 / 1e6, (options.side * _GSD_M / 1e3) ** 2
        rows.append((way, f"{wall:.1f}", f"{cpu:.1f}", f"{peak / _MIB:.0f}", f"{mpx / wall:.2f}", f"{km2 / wall:.1f}"))
    return markdown_table(rows)


def _one_way(way: str, folder: Path, scene: Path, number: int, peer: str | None) -> Cost:
    target = folder / f"{way.split()[0]}{number}.tif"
    if way.startswith("rssr"):
        command = [sys.executable, "-c", "import sys; from rssr.cli import main; sys.exit(main(sys.argv[1:]))"]
        cost = _run([*command, "sr", str(scene), str(target), "--model", "bicubic", "--scale", str(_SCALE)])
    elif way.startswith("bulk"):
        cost = _bulk(folder, scene.parent, f"large{number}", "worker.num_threads=2", "keep_windows=false")
    else:
        cost = _run([str(peer), "-c", _PEER, str(scene), str(target)])
    target.unlink(missing_ok=True)
    return cost


def _bulk(folder: Path, scenes: Path, output: str, *arguments: str) -> Cost:
    command = [sys.executable, str(ROOT / "jobs" / "bulk.py"), f"input={scenes}", f"output={folder / output}"]
    return _run([*command, f"scale={_SCALE}", "num_workers=0", *arguments])


def _rates(side: int, wall_s: float) -> list[tuple[str, str]]:
    return [
        ("Mpx/s of wall-clock time", f"{(_SCALE * side) ** 2 / 1e6 / wall_s:.3f}"),
        ("km2/s at 10 m", f"{(side * _GSD_M / 1e3) ** 2 / wall_s:.3f}"),
        ("scenes an hour", f"{3600 / wall_s:.1f}"),
    ]


def _run(command: Sequence[str]) -> Cost:
    """Run a process to its end. Products of random weights show their tiles, and are marked for it."""
    env: Mapping[str, str] = {**os.environ, "PYTHONPATH": str(ROOT)}
    started_s = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=out, stderr=errors, env=dict(env), cwd=ROOT)
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - started_s
        out.seek(0)
        errors.seek(0)
        if os.waitstatus_to_exitcode(status) not in (0, ExitCode.COMPLETED_WITH_FAILURES):
            raise RuntimeError(f"{command} ended with status {status}:\n{errors.read().decode()[-3000:]}")
        return Cost(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, out.read().decode())


def _make(folder: Path, side: int) -> None:
    """Scenes and a network of published size."""
    pixels = generate_scene(0, _NETWORK_SIDE, _NETWORK_SIDE, gsd_m=_GSD_M).transpose(2, 0, 1)
    transform = Affine.translation(500_000, 5_200_000) * Affine.scale(_GSD_M, -_GSD_M)
    colours = ("red", "green", "blue")
    write_geotiff(folder / "small" / "town.tif", Raster(pixels, transform, "EPSG:32632", band_names=colours))
    rng = np.random.default_rng(0)
    tile = generate_scene(1, 256, 256, gsd_m=_GSD_M).transpose(2, 0, 1).astype(np.uint16)
    smooth = np.tile(tile, (1, -(-side // 256), -(-side // 256)))[:, :side, :side]
    bands = np.concatenate([smooth, smooth[:1]]) * 12 + 1000 + rng.integers(0, 40, (4, side, side), dtype=np.uint16)
    names = ("B02", "B03", "B04", "B08")
    told = Radiometry((0.0001,) * 4, (-0.1,) * 4)
    raster = Raster(bands, transform, "EPSG:32632", band_names=names, radiometry=told, nodata=0)
    write_geotiff(folder / "large" / "scene.tif", raster)
    torch.manual_seed(0)
    card = ModelCard(
        name="slimdiffsr-untrained",
        method="slimdiffsr",
        bands=list(colours),
        scale_range=(4, 4),
        tile_size=_TILE,
        halo=_HALO,
        licence="none",
    )
    save_model_folder(folder / "model", "slimdiffsr", {}, create_model("slimdiffsr"), card)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("network", "interpolation"))
    parser.add_argument("--side", type=int, default=2048, help="of the interpolated scene, pixels")
    parser.add_argument("--peer", help="a Python interpreter that has opensr-utils 2.1.0")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
