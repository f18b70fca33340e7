import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from pipelines.datasets.manifest import ImageRecord, Manifest
from pipelines.experiment.config import ReportConfig
from pipelines.experiment.figures import choose_images, make_figures, shown_side
from pipelines.experiment.slimdiffsr import SlimDiffSRJobConfig
from pipelines.experiment.training import Plan
from pipelines.storage import open_store
from rssr.configuration import load_config
from rssr.images import decode_image, encode_png, from_network
from rssr.methods.figures import Figure, HeldOutImage
from rssr.methods.method import Method
from rssr.methods.phase import PhaseInputs
from rssr.seeds import numpy_generator

TINY = Path(__file__).parents[2] / "data" / "tiny_slimdiffsr.yaml"


def manifest(sides: Sequence[int]) -> Manifest:
    images = [
        ImageRecord(f"{number:02}.png", 0, "test", None, side + number, side, 1, f"{number:064}")
        for number, side in enumerate(sides)
    ]
    images.append(ImageRecord("seen.png", 0, "train", None, 4096, 4096, 1, "f" * 64))
    return Manifest(("images",), tuple(images))


@pytest.mark.parametrize(
    ("side", "shown"), [(15, 0), (16, 16), (47, 32), (63, 48), (64, 64), (130, 128), (256, 256), (5000, 256)]
)
def test_what_is_shown_fits_networks_without_padding(side: int, shown: int) -> None:
    assert shown_side(side) == shown


def test_three_of_the_largest_held_out_images_are_shown() -> None:
    chosen = choose_images(manifest([300, 40, 256, 200, 900, 256, 257]))
    assert [record.key for record in chosen] == ["00.png", "04.png", "06.png"]


def test_fewer_where_there_are_fewer_and_none_that_is_too_small() -> None:
    assert [record.key for record in choose_images(manifest([15, 70, 10]))] == ["01.png"]
    assert choose_images(manifest([15, 3])) == []
    assert choose_images(manifest([])) == []


class Drawing:
    """A method whose phases build on one another; remembers what it was asked to draw."""

    name = "drawing"
    phases = ("one", "two", "three")

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, Path], list[HeldOutImage]]] = []

    def needed_phases(self, phase: str) -> tuple[str, ...]:
        return {"one": (), "two": ("one",), "three": ("one", "two")}[phase]

    def draw_figures(self, inputs: PhaseInputs, images: Sequence[HeldOutImage]) -> list[Figure]:
        assert all((folder / "weights").read_text() == phase for phase, folder in inputs.folders.items())
        self.asked.append((dict(inputs.folders), list(images)))
        return [Figure("Title", "Text.", [])]


def plan_of(method: Any, folder: Path, *overrides: str) -> Plan:
    """A plan on three held-out images, with its phases finished."""
    images = folder / "images"
    images.mkdir()
    records = []
    for number in range(3):
        data = encode_png(numpy_generator("image", number).integers(0, 256, (75, 69, 3)).astype(np.uint8))
        (images / f"{number}.png").write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        records.append(ImageRecord(f"{number}.png", 0, "test", None, 69, 75, len(data), digest))
    config = load_config(SlimDiffSRJobConfig, TINY, overrides)
    digests = {name: f"{number:064}" for number, name in enumerate(Drawing.phases)}
    plan = Plan(method, config, open_store(str(folder)), Manifest((str(images),), tuple(records)), "", digests)
    for name in Drawing.phases:
        output = folder / "output" / name
        output.mkdir(parents=True)
        (output / "weights").write_text(name)
        plan.folder(name).commit(output, num_steps=1, validation={}, losses=[], validations=[])
    return plan


def test_the_method_gets_finished_phases_with_all_they_build_on_and_held_out_pairs(tmp_path: Path) -> None:
    method = Drawing()
    [figure] = make_figures(plan_of(method, tmp_path, "data.scale=[1, 4]", "product.scale=3.4"), ["two"])
    assert figure.title == "Title"
    [(folders, images)] = method.asked
    assert list(folders) == ["one", "two"]
    assert [image.key for image in images] == ["0.png", "1.png", "2.png"]
    for image in images:
        assert image.pair.scale == 3.4
        assert tuple(image.pair.hr.shape) == (1, 3, 64, 64)
        assert tuple(image.pair.lr.shape) == (1, 3, 18, 18)


def test_the_same_run_shows_the_same_pairs_from_the_middle_of_the_images(tmp_path: Path) -> None:
    method = Drawing()
    plan = plan_of(method, tmp_path)
    make_figures(plan, ["one"])
    make_figures(plan, ["one"])
    (_, first), (_, second) = method.asked
    assert all(torch.equal(a.pair.lr, b.pair.lr) for a, b in zip(first, second, strict=True))
    whole = decode_image((tmp_path / "images" / "0.png").read_bytes(), "0.png").pixels
    np.testing.assert_array_equal(from_network(first[0].pair.hr)[0], whole[5:69, 2:66])


def test_nothing_is_drawn_where_nothing_is_wanted_finished_or_offered(tmp_path: Path) -> None:
    method = Drawing()
    plan = plan_of(method, tmp_path)
    assert make_figures(plan, []) == ()
    silent = plan.config.model_copy(update={"report": ReportConfig(pictures=False)})
    assert make_figures(replace(plan, config=silent), ["one"]) == ()
    assert make_figures(replace(plan, method=cast("Method", object())), ["one"]) == ()
    assert method.asked == []
