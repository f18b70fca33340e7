import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.evaluation.parts import Part, forget_parts, plan_parts, read_part, write_part
from pipelines.evaluation.task import EvaluationTask, ImageJob, MeasuringSpec, Place, RunnableMethod
from pipelines.evaluation.work import OF_ALL_METHODS, Finding
from pipelines.storage import open_store
from rssr.degradation import degradation_preset
from tests.pipelines.evaluation.small import BICUBIC, NEAREST, dataset_of, records_of, task_of, write_images


@pytest.fixture
def task(tmp_path: Path) -> EvaluationTask:
    return task_of([dataset_of(write_images(tmp_path / "images", 5))])


def digests(task: EvaluationTask, images_per_part: int = 2, software: tuple[str, ...] = ("torch=1",)) -> list[str]:
    return [part.digest for part in plan_parts(task, images_per_part, software)]


def test_parts_hold_all_images_at_all_scales_in_order(task: EvaluationTask) -> None:
    [dataset] = task.datasets
    twice = replace(task, datasets=(replace(dataset, scales=(2.0, 4.0)), replace(dataset, name="other")))
    jobs = [list(part.jobs) for part in plan_parts(twice, 3, ())]
    assert [len(part) for part in jobs] == [3, 2] * 3
    places = ((0, 2.0), (0, 4.0), (1, 4.0))
    assert [job for part in jobs for job in part] == [
        ImageJob(number, scale, image) for number, scale in places for image in range(5)
    ]


def test_pairs_without_an_lr_image_are_in_no_part(task: EvaluationTask) -> None:
    [dataset] = task.datasets
    pairs = replace(dataset, lr_images=(*dataset.images[:2], None, *dataset.images[3:]))
    [part] = plan_parts(replace(task, datasets=(pairs,)), 9, ())
    assert [job.image for job in part.jobs] == [0, 1, 3, 4]


def test_what_decides_the_findings_makes_other_parts(task: EvaluationTask, tmp_path: Path) -> None:
    [dataset] = task.datasets
    changed = write_images(tmp_path / "changed", 5)
    (changed / "class0/image_00.png").write_bytes((changed / "class0/image_02.png").read_bytes())
    theirs = RunnableMethod("theirs", "images", (4.0,))

    def made(version: str) -> EvaluationTask:
        places = [Place("folder", record.key, version) for record in dataset.images]
        return replace(
            task, methods=(*task.methods, theirs), datasets=(replace(dataset, made={("theirs", 4.0): places}),)
        )

    variants = [
        task,
        replace(task, seed=1),
        replace(task, degradation=degradation_preset("slimdiffsr")),
        replace(task, measuring=MeasuringSpec(("psnr_y",))),
        replace(task, measuring=replace(task.measuring, border=0)),
        replace(task, methods=(BICUBIC,)),
        replace(task, methods=(BICUBIC, replace(NEAREST, identity="another"))),
        replace(task, device="cuda"),
        replace(task, num_threads=2),
        replace(task, datasets=(replace(dataset, max_side=32),)),
        replace(task, datasets=(replace(dataset, has_hr=False),)),
        replace(task, datasets=(replace(dataset, lr_images=records_of(changed), lr_sources=(str(changed),)),)),
        made("1"),
        made("2"),
    ]
    firsts = [digests(variant)[0] for variant in variants]
    assert len(set(firsts)) == len(variants)
    assert digests(task, software=("torch=2",))[0] not in firsts
    other = digests(replace(task, datasets=(replace(dataset, images=records_of(changed)),)))
    assert [one == two for one, two in zip(other, digests(task), strict=True)] == [False, True, True]


def test_where_images_lie_decides_nothing(task: EvaluationTask) -> None:
    [dataset] = task.datasets
    assert digests(replace(task, datasets=(replace(dataset, sources=("/elsewhere",)),))) == digests(task)


def test_findings_come_back_as_they_were(tmp_path: Path) -> None:
    findings = [
        Finding(0, OF_ALL_METHODS, features=np.arange(4, dtype=np.float32)),
        Finding(
            0, "one", {"psnr_y": math.inf, "lpips": 0.1}, ("MUSIQ failed.",), 0.5, 0.75, 7, "a machine", tally=b"\0a"
        ),
        Finding(0, "two", reasons=("It failed.", "Twice.")),
        Finding(1, "one", {}),
    ]
    store, part = open_store(str(tmp_path)), Part((ImageJob(0, 4.0, 0),), "ab" * 32)
    assert read_part(part, store) is None
    write_part(part, findings, store)
    found = read_part(part, store)
    assert found is not None
    for one, other in zip(found, findings, strict=True):
        assert np.array_equal(one.features, other.features) if one.features is not None else other.features is None
        assert str(replace(one, features=None)) == str(replace(other, features=None))  # NaN is not equal to itself
        assert one.tally == other.tally
    forget_parts([part], store)
    assert read_part(part, store) is None


def test_a_damaged_part_is_made_again(tmp_path: Path) -> None:
    store, part = open_store(str(tmp_path)), Part((), "ab" * 32)
    write_part(part, [Finding(0, "one", {"psnr_y": 30.0})], store)
    whole = store.read_bytes(part.key)
    for damaged in (b"", whole[: len(whole) // 2], whole[:-1]):
        store.write_bytes(part.key, damaged)
        assert read_part(part, store) is None
