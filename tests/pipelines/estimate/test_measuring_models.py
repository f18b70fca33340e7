"""Tiles and products, timed with the code that makes them. How long they take is nobody's business here."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.estimate.config import PlanConfig
from pipelines.estimate.measuring_models import ModelSamples, Piece, ReadSamples, Subject, read_piece, time_model
from pipelines.estimate.planned import PlannedRun, layers_of, planned_run
from pipelines.estimate.workload import raw_bytes
from rssr.inference import super_resolve_scene
from rssr.inference.engine import Engine
from rssr.inference.files import SceneReader
from rssr.raster import CogOptions, Raster, Window
from tests.pipelines.estimate.small_scenes import small_config, write_scene
from tests.sentinel2_products import imagined_numbers, write_safe


def subject_of(run: PlannedRun, config: PlanConfig, patience_s: float = 60.0) -> Subject:
    return Subject(run.model, config.scale, run.options, layers_of(run, config), CogOptions(), 1, patience_s)


def measured(config: PlanConfig, patience_s: float = 60.0) -> tuple[ReadSamples, ModelSamples, Piece]:
    run, reading, making = planned_run(config), ReadSamples(), ModelSamples()
    (scene,) = run.runnable
    piece = read_piece(scene, run.opened(scene), 1, reading)
    time_model(piece, subject_of(run, config, patience_s), making)
    return reading, making, piece


def test_a_scene_gives_all_rates(tmp_path: Path) -> None:
    write_scene(tmp_path / "in" / "a.tif")
    reading, making, piece = measured(small_config(tmp_path))
    assert piece.raster.size == (150, 130)
    rates = vars(reading) | vars(making)
    waited = rates.pop("waited_share")
    assert all(0 <= share < 1 for share in waited), "none on a quiet machine"
    for samples in rates.values():
        assert all(0 < value < math.inf for value in samples)


def test_products_are_compressed_as_the_real_one(tmp_path: Path) -> None:
    source = write_scene(tmp_path / "in" / "a.tif")
    config = small_config(tmp_path)
    _, making, _ = measured(config)
    layers = {"consistency_path": tmp_path / "c.tif", "tile_size": 64, "halo": 8}
    super_resolve_scene(source, tmp_path / "sr.tif", "bicubic", 2, **layers)  # type: ignore[arg-type]  # of a TypedDict
    run = planned_run(config)
    size = sum((tmp_path / name).stat().st_size for name in ("sr.tif", "c.tif"))
    assert making.compression_ratio[0] == pytest.approx(
        size / raw_bytes(run.runnable[0], layers_of(run, config)), rel=0.1
    )


def test_without_patience_one_tile_stands_for_all(tmp_path: Path) -> None:
    write_scene(tmp_path / "in" / "a.tif", (300, 300))
    config = small_config(tmp_path, tiling={"tile_size": 128, "halo": 8})
    _, patient, _ = measured(config)
    _, hasty, _ = measured(config, patience_s=-1)
    assert (len(patient.tile_s), len(hasty.tile_s)) == (3, 1), "rows of tiles"
    assert hasty.compression_ratio == [pytest.approx(patient.compression_ratio[0], rel=0.25)]


def test_an_accelerator_is_given_as_many_tiles_as_it_takes_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scene(tmp_path / "in" / "a.tif", (150, 700))
    config = small_config(tmp_path, tiling={"tile_size": 64, "halo": 8, "batch_size": 6})
    widths: list[int] = []
    run_window = Engine.run_window

    def noting(engine: Engine, scene: Any, plan: Any, window: Any) -> Any:
        widths.append(len(window.columns))
        return run_window(engine, scene, plan, window)

    monkeypatch.setattr("pipelines.estimate.measuring_models.runs_batches", lambda device: True)
    monkeypatch.setattr(Engine, "run_window", noting)
    run, reading, making = planned_run(config), ReadSamples(), ModelSamples()
    subject = subject_of(run, config)
    assert subject.tiles_at_once == 6
    piece = read_piece(run.runnable[0], run.opened(run.runnable[0]), subject.tiles_at_once, reading)
    time_model(piece, subject, making)
    assert min(widths) == 6


def test_small_scenes_and_those_with_holes_are_measured_too(tmp_path: Path) -> None:
    for number, about in enumerate([{"size": (20, 9)}, {"size": (150, 130), "missing_rows": 140}]):
        write_scene(tmp_path / str(number) / "in" / "a.tif", **about)  # type: ignore[arg-type]  # sizes and counts
        _, making, _ = measured(small_config(tmp_path / str(number)))
        assert min(making.tile_s) > 0


def test_a_part_with_data_is_looked_for(tmp_path: Path) -> None:
    write_scene(tmp_path / "in" / "a.tif", (900, 900))
    config = small_config(tmp_path)
    (scene,) = planned_run(config).runnable
    reader, reading = Half((900, 900)), ReadSamples()
    piece = read_piece(scene, reader.opened(), 1, reading)
    assert piece.raster.valid_mask.mean() >= 0.9
    assert len(reader.windows) == len(reading.input_bytes_per_s) == 3
    assert len({(window.height, window.width) for window in reader.windows}) == 1
    assert len(reading.open_s) == 1


def test_sentinel2_products_are_shown_as_they_are(tmp_path: Path) -> None:
    write_safe(tmp_path / "in", imagined_numbers((192, 160)))
    _, making, piece = measured(small_config(tmp_path))
    assert piece.shows_reflectance
    assert min(making.finish_values_per_s) > 0


def test_threads_are_set_for_the_measurement_alone(tmp_path: Path) -> None:
    write_scene(tmp_path / "in" / "a.tif")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        measured(small_config(tmp_path))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


class Half:
    """A scene of which only the lower part, from a little below the middle on, holds data."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self.windows: list[Window] = []

    @property
    def info(self) -> Any:
        raise AssertionError("planned already")

    def read(self, window: Window | None = None) -> Raster:
        assert window is not None
        self.windows.append(window)
        rows = window.row + np.arange(window.height)
        mask = np.repeat(rows[:, None] >= 0.55 * self._size[0], window.width, axis=1)
        return Raster(np.ones((1, window.height, window.width), np.uint16), valid_mask=mask)

    @contextmanager
    def opened(self) -> Iterator[SceneReader]:
        yield self
