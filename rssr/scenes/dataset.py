"""Scenes written to disk: a class-per-folder dataset as the published ones are laid out."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from rssr.errors import ConfigError
from rssr.publish import write_aside
from rssr.scenes.generate import SCENE_KINDS, generate_scene
from rssr.seeds import derive_seed


def write_scene_dataset(
    folder: Path | str,
    seed: int,
    num_scenes: int,
    size: int,
    *,
    gsd_m: float = 1.0,
    kinds: Sequence[str] = SCENE_KINDS,
) -> list[Path]:
    """Write square scenes as `<class>/<class>_<nnn>.png`, classes in turn.

    Scene n of a class depends on the seed, the class, n, size and gsd_m only: asking for more scenes later leaves
    the earlier ones as they were.

    Args:
        folder: Where the class folders go; made if missing.
        seed: Seed of the whole dataset.
        num_scenes: Over all classes together.
        size: Side in pixels.
        gsd_m: Ground sample distance, metres a pixel.
        kinds: Classes to write, from `SCENE_KINDS`.

    Returns:
        The files in the order of writing.

    Raises:
        ConfigError: No kinds, or an unknown one.
    """
    if not kinds:
        raise ConfigError("A dataset without any kind of scene is empty.", f"Choose from: {', '.join(SCENE_KINDS)}.")
    paths = []
    for index in range(num_scenes):
        kind, number = kinds[index % len(kinds)], index // len(kinds) + 1
        pixels = generate_scene(derive_seed(seed, kind, number), size, size, gsd_m=gsd_m, kind=kind)
        path = Path(folder) / kind / f"{kind}_{number:03d}.png"
        with write_aside(path) as aside:
            Image.fromarray(pixels).save(aside, format="PNG", compress_level=6)
        paths.append(path)
    return paths
