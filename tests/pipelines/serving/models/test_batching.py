"""Tiles of several requests share batches, and no result depends on who shares."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from pipelines.models import ModelSource
from pipelines.serving.models.batching import NobodyWaits, Runners, SharedTiles, TileJob, Waiting, run_together
from pipelines.serving.models.replica import ServedModel
from pipelines.serving.problems import Problem
from rssr.inference.options import CompleteOptions
from rssr.inference.tile_batch import TileBatch
from rssr.inference.tile_runner import TileCounts
from rssr.models.loaded import LoadedModel, load_model
from rssr.models.resolver import Draws, TilePlace
from rssr.resampling import upsample_bicubic
from tests.pipelines.bulk.imagery import png
from tests.pipelines.serving.images import small_sampler, small_student
from tests.pipelines.serving.models.replicas import BATCH_SIZE, Gatherer, asked, served, work, work_together

SIDE, SCALE = 12, 4
OPTIONS = CompleteOptions(SIDE, 2, "none", BATCH_SIZE)


class Noting:
    """Bicubic interpolation that notes the shapes it is given, and fails on pictures that are black all over."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        self.shapes.append(tuple(lr.shape))
        if bool((lr == -1).all(dim=3).all(dim=2).all(dim=1).any()):
            raise RuntimeError("a black tile")
        return upsample_bicubic(lr, output_size)


def noting() -> LoadedModel:
    return LoadedModel("noting", Noting(), None, {}, None)


def shapes(model: LoadedModel) -> list[tuple[int, ...]]:
    assert isinstance(model.resolver, Noting)
    return model.resolver.shapes


def job_of(runners: Runners, *seeds: int, draws: Draws | None = None, black: bool = False) -> TileJob:
    """A job of one tile a seed."""
    kind, runner = runners.get(OPTIONS, False, draws or Draws())
    tiles = [np.random.default_rng(seed).uniform(-1, 1, (3, SIDE, SIDE)).astype(np.float32) for seed in seeds]
    lr = np.stack(tiles) if not black else np.full((1, 3, SIDE, SIDE), -1, np.float32)
    size = (SCALE * SIDE, SCALE * SIDE)
    place = TilePlace((0, 0), (0, 0), (SIDE, SIDE), size)
    batch = TileBatch(lr, size, [place] * len(lr), 1)
    return TileJob(batch, (kind, lr.shape[1:], size, None), runner)


def test_tiles_of_several_requests_fill_a_batch() -> None:
    model = noting()
    runners = Runners(model)
    outcomes = run_together([job_of(runners, 1), job_of(runners, 2, 3), job_of(runners, 4)], BATCH_SIZE)
    assert [len(outcome.results or ()) for outcome in outcomes] == [1, 2, 1]
    assert shapes(model) == [(BATCH_SIZE, 3, SIDE, SIDE)]


def test_a_batch_is_filled_up_to_its_size() -> None:
    model = noting()
    run_together([job_of(Runners(model), 1)], BATCH_SIZE)
    assert shapes(model) == [(BATCH_SIZE, 3, SIDE, SIDE)]


def test_the_cpu_takes_tiles_one_by_one() -> None:
    model = noting()
    runners = Runners(model)
    run_together([job_of(runners, 1), job_of(runners, 2)], None)
    assert shapes(model) == [(1, 3, SIDE, SIDE)] * 2


@pytest.mark.parametrize("kind", ["student", "sampler"])
def test_a_result_does_not_depend_on_who_shares(kind: str, tmp_path: Path) -> None:
    folder = {"student": small_student, "sampler": small_sampler}[kind](tmp_path / kind)
    runners = Runners(load_model(folder))
    alone = run_together([job_of(runners, 1)], BATCH_SIZE)[0]
    others: Sequence[int] = (2, 3, 4, 5, 6)
    shared = run_together([*(job_of(runners, seed) for seed in others), job_of(runners, 1)], BATCH_SIZE)[-1]
    # A place in a batch may add up in another order; a neighbour's pixels would be far off.
    np.testing.assert_allclose(np.stack(shared.results or []), np.stack(alone.results or []), rtol=0, atol=1e-6)


def test_seeds_that_differ_share_no_batch_where_a_model_draws_noise(tmp_path: Path) -> None:
    sampler = Runners(load_model(small_sampler(tmp_path / "sampler")))
    assert job_of(sampler, 1, draws=Draws(1)).kind != job_of(sampler, 1, draws=Draws(2)).kind
    student = Runners(load_model(small_student(tmp_path / "student")))
    assert job_of(student, 1, draws=Draws(1)).kind == job_of(student, 1, draws=Draws(2)).kind


def test_versions_share_no_batch() -> None:
    old, new = Runners(noting()), Runners(noting())
    assert job_of(old, 1).kind != job_of(new, 1).kind


def test_one_that_fails_does_not_fail_those_it_shares_with() -> None:
    runners = Runners(noting())
    good, bad, other = run_together(
        [job_of(runners, 1), job_of(runners, 0, black=True), job_of(runners, 2)], BATCH_SIZE
    )
    assert good.results is not None and other.results is not None
    assert bad.results is None
    assert "black" in str(bad.failure)


def test_runners_are_kept_but_not_for_every_seed_there_is(tmp_path: Path) -> None:
    runners = Runners(load_model(small_sampler(tmp_path / "sampler")))
    first = runners.get(OPTIONS, False, Draws(0))
    assert runners.get(OPTIONS, False, Draws(0)) == first
    for seed in range(1, 200):
        runners.get(OPTIONS, False, Draws(seed))
    assert runners.get(OPTIONS, False, Draws(0))[1] is not first[1]


def test_images_at_once_come_out_as_one_by_one(tmp_path: Path) -> None:
    model = served(small_student(tmp_path / "student"))
    requests = [asked(png((24, 20), seed)) for seed in range(4)]
    gatherer = Gatherer(num_together=3)
    together = work_together(model, requests, gatherer)
    assert [result.data for result in together] == [work(model, request).data for request in requests]
    assert max(gatherer.sizes) > 1


def test_requests_that_are_given_up_hand_in_no_more_tiles() -> None:
    waiting = Waiting(time.time() + 60)
    handed_in: list[TileJob] = []
    kind, runner = Runners(noting()).get(OPTIONS, False, Draws())

    def submit(job: TileJob) -> object:
        handed_in.append(job)
        return run_together([job], None)[0]

    tiles = SharedTiles(kind, runner, submit, waiting)  # type: ignore[arg-type]  # a plain function of this test
    batch = job_of(Runners(noting()), 1).batch
    tiles.run(batch, TileCounts())
    waiting.give_up()
    with pytest.raises(NobodyWaits):
        tiles.run(batch, TileCounts())
    assert len(handed_in) == 1


def test_a_model_that_fails_is_our_fault_and_says_no_more() -> None:
    black = np.zeros((SIDE, SIDE, 3), np.uint8)
    from rssr.images import encode_png

    model = ServedModel(ModelSource("noting"), "noting", noting())
    with pytest.raises(Problem) as raised:
        work(model, asked(encode_png(black)))
    assert raised.value.slug == "internal"
    assert "black" not in raised.value.detail
