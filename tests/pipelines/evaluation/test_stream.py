from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.evaluation import stream
from pipelines.evaluation.config import EvaluationWorkerConfig
from pipelines.evaluation.resolve import SrImage
from pipelines.evaluation.stream import pack_images, run_here, run_on_ray, unpack_images
from pipelines.evaluation.task import EvaluationTask, MeasuringSpec, RunnableMethod
from pipelines.evaluation.work import Finding, jobs_of
from pipelines.stream import raise_packed_error
from rssr.errors import StorageError
from rssr.images import encode_png
from tests.pipelines.evaluation.small import (
    BICUBIC,
    NEAREST,
    dataset_of,
    picture,
    prepared,
    save_sampler,
    task_of,
    write_images,
)


@pytest.fixture
def task(tmp_path: Path) -> EvaluationTask:
    """Five images, of which one has changed and one is too small, by three methods, of which one fails."""
    folder = write_images(tmp_path / "images", 5, num_classes=1)
    (folder / "class0/image_03.png").write_bytes(encode_png(picture(3, 16, 16)))
    dataset = dataset_of(folder)
    (folder / "class0/image_01.png").write_bytes(encode_png(picture(9)))
    methods = (
        BICUBIC,
        RunnableMethod("broken", "model", (4.0,), folder=str(tmp_path / "gone")),
        RunnableMethod("sampler", "model", (4.0,), folder=str(save_sampler(tmp_path / "model"))),
    )
    return task_of([dataset], methods, measuring=MeasuringSpec(("psnr_y", "ssim_y", "lr_error", "hallucination")))


def without_times(findings: Sequence[Sequence[Finding]]) -> list[list[str]]:
    nothing = {"seconds": 0, "seconds_with_io": 0, "peak_bytes": 0}
    return [[f"{replace(finding, **nothing)} {finding.tally!r}" for finding in group] for group in findings]


def test_workers_find_the_same_as_this_process_does(task: EvaluationTask, ray_cluster: str) -> None:
    assert ray_cluster
    jobs = jobs_of(task)
    here = list(run_here(task, jobs))
    assert [len(group) for group in here] == [3, 1, 3, 1, 3]
    assert here[0][1].metrics is None
    assert here[0][2].tally
    for num_workers in (1, 2):
        there = list(run_on_ray(task, jobs, num_workers, EvaluationWorkerConfig()))
        assert without_times(there) == without_times(here)
        assert all(finding.seconds > 0 for group in there for finding in group if finding.metrics is not None)


def test_what_a_stage_raises_goes_on_as_a_row_and_is_raised_at_the_end(task: EvaluationTask) -> None:
    [dataset] = task.datasets
    nowhere = replace(task, datasets=(replace(dataset, sources=("nothing://knows-this-scheme",)),))
    row = stream._row({"number": 0})
    for stage in (stream._ResolveRows, stream._MeasureRows):
        row = stage(nowhere, tuple(jobs_of(nowhere)))(row)
    with pytest.raises(StorageError, match="knows-this-scheme"):
        raise_packed_error(row)


def test_images_and_what_was_made_of_them_come_back_as_they_were() -> None:
    image = prepared(picture(1))
    made = [SrImage("one", picture(2), "", 0.5, 7, "a machine", b"\0tally"), SrImage("two", None, "It failed.")]
    packed = pack_images(image, made)
    for hr in (image.hr, None):
        packed = pack_images(replace(image, hr=hr), made)
        back, [one, two] = unpack_images(packed["facts"], packed["pixels"])
        assert (back.job, back.key, back.size, back.whole_size) == (image.job, image.key, image.size, image.whole_size)
        assert np.array_equal(back.lr, image.lr)
        assert back.hr is None if hr is None else np.array_equal(back.hr, hr)
        assert np.array_equal(one.sr, picture(2))
        assert (one.method, one.seconds, one.peak_bytes, one.machine, one.tally) == (
            "one",
            0.5,
            7,
            "a machine",
            b"\0tally",
        )
        assert (two.sr, two.reason) == (None, "It failed.")


def test_images_too_large_to_be_handed_on_are_measured_where_they_were_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of([dataset_of(write_images(tmp_path, 1))], (BICUBIC, NEAREST))
    rows = stream._ResolveRows(task, tuple(jobs_of(task)))
    assert set(rows.work({"number": 0})) == {"facts", "pixels"}
    monkeypatch.setattr(stream, "_MOST_HANDED_ON", 1000)
    [finding, _] = stream.unpack_findings(rows.work({"number": 0})["findings"])
    assert finding.metrics is not None
    assert set(finding.metrics) == {"psnr_y", "ssim_y"}
