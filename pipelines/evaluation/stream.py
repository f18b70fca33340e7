"""Execute an evaluation: image by image in this process, or by actors of Ray Data, with the same findings in order.

Under Ray Data, one pool of actors holds the models and super-resolves; a second holds the metrics and measures. An
image with what all methods made of it travels between them as one row. Images too large for that are measured where
they were made, by the same code.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipelines.evaluation.config import EvaluationWorkerConfig
from pipelines.evaluation.parts import pack_findings, unpack_findings
from pipelines.evaluation.prepare import Picture, PreparedImage
from pipelines.evaluation.resolve import SrImage
from pipelines.evaluation.task import EvaluationTask, ImageJob
from pipelines.evaluation.work import EvaluateImage, Finding, MeasureImage
from pipelines.stream import keep_order, pack_error, raise_packed_error
from rssr.errors import RssrError

if TYPE_CHECKING:
    import ray.data

_MOST_HANDED_ON = 64 * 2**20  # bytes of a row between two actors
_SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("facts", pa.string()),  # what is no pixel
        ("pixels", pa.list_(pa.large_binary())),
        ("findings", pa.large_binary()),
        ("error", pa.list_(pa.string())),
    ]
)


def run_here(task: EvaluationTask, jobs: Sequence[ImageJob]) -> Iterator[list[Finding]]:
    """What is found of each job, in order, in this process.

    Raises:
        StorageError: Images cannot be reached.
        WeightsError: Weights of a metric are damaged.
    """
    evaluate = EvaluateImage(task)
    for job in jobs:
        yield evaluate(job)


def run_on_ray(
    task: EvaluationTask, jobs: Sequence[ImageJob], num_workers: int, worker: EvaluationWorkerConfig
) -> Iterator[list[Finding]]:
    """The same, by actors.

    Args:
        task: The evaluation.
        jobs: What is to be done.
        num_workers: Actors that super-resolve, and as many that measure.
        worker: What each of the former reserves; a GPU is shared by one of each.

    Raises:
        RssrError: What an actor raised, of the same class and text.
    """
    dataset = _dataset(task, jobs, num_workers, worker)
    rows = dataset.iter_batches(batch_size=1, batch_format="pyarrow", prefetch_batches=1)
    for number, table in enumerate(rows):
        raise_packed_error(table)
        if table["number"][0].as_py() != number:
            raise RuntimeError(f"Row {number} of {len(jobs)} was expected, but {table['number'][0]} came.")
        yield unpack_findings(table["findings"][0].as_py())


def _dataset(
    task: EvaluationTask, jobs: Sequence[ImageJob], num_workers: int, worker: EvaluationWorkerConfig
) -> "ray.data.Dataset":
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it tells every start and end of an execution
    blocks = [_row({"number": number}) for number in range(len(jobs))]
    gpu_share = worker.num_gpus / 2
    size = min(num_workers, len(jobs))

    def stage(reserved_cpus: float) -> dict[str, Any]:
        return {
            "batch_size": 1,
            "batch_format": "pyarrow",
            "fn_constructor_args": (task, tuple(jobs)),
            "compute": ray.data.ActorPoolStrategy(size=size),
            "num_cpus": reserved_cpus,
            "num_gpus": gpu_share,
        }

    dataset = (
        ray.data.from_blocks(blocks)
        .map_batches(_ResolveRows, **stage(worker.num_cpus))
        .map_batches(_MeasureRows, **stage(_cpus_of_metrics(num_workers, worker)))
    )
    keep_order(dataset.context)
    return dataset


def _cpus_of_metrics(num_workers: int, worker: EvaluationWorkerConfig) -> float:
    """As many as super-resolution has, beside it where there is room; else none are reserved rather than waited for."""
    import ray

    total = float(ray.cluster_resources().get("CPU", 0.0))
    return worker.num_cpus if total >= 2 * num_workers * worker.num_cpus else 0.0


class _Rows:
    """A stage of the stream: a row in, a row out. Errors of ours travel as rows, in order."""

    def __init__(self, task: EvaluationTask, jobs: tuple[ImageJob, ...]) -> None:
        self._task, self._jobs = task, jobs

    def __call__(self, row: pa.Table) -> pa.Table:
        values = {name: row[name][0].as_py() for name in _SCHEMA.names if name in row.column_names}
        if values.get("error") or values.get("findings"):
            return row
        try:
            return _row({"number": values["number"], **self.work(values)})
        except RssrError as error:
            packed = pack_error(error)
            return _row({"number": values["number"], "error": packed["error"][0].as_py()})

    def work(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the stage adds to a row."""
        raise NotImplementedError


class _ResolveRows(_Rows):
    """Read, degrade and super-resolve."""

    _evaluate: EvaluateImage | None = None

    def work(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Pictures of a job, or already what is found of it."""
        self._evaluate = self._evaluate or EvaluateImage(self._task)
        image = self._evaluate.prepared(self._jobs[values["number"]])
        if isinstance(image, Finding):
            return {"findings": pack_findings([image])}
        methods = self._task.methods_at(image.job.scale)
        height, width = image.size
        if 3 * height * width * (len(methods) + 1) > _MOST_HANDED_ON:
            return {"findings": pack_findings(self._evaluate.whole(image))}
        return pack_images(image, [self._evaluate.resolve(image, method) for method in methods])


class _MeasureRows(_Rows):
    """Measure what was made."""

    _measure: MeasureImage | None = None

    def work(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Findings of a row of pictures."""
        self._measure = self._measure or MeasureImage(self._task)
        image, made = unpack_images(values["facts"], values["pixels"])
        return {"findings": pack_findings([*self._measure.of_image(image), *(self._measure(image, sr) for sr in made)])}


def pack_images(image: PreparedImage, made: Sequence[SrImage]) -> dict[str, Any]:
    """An image and what methods made of it as columns of a row: `facts` in JSON, and `pixels`."""
    pictures = [image.lr, image.hr, *(sr.sr for sr in made)]
    facts = {
        "image": [list(image.job), image.key, image.size, image.whole_size, image.io_seconds],
        "made": [[sr.method, sr.reason, sr.seconds, sr.peak_bytes, sr.machine, sr.tally.hex()] for sr in made],
        "shapes": [None if picture is None else picture.shape for picture in pictures],
    }
    return {
        "facts": json.dumps(facts),
        "pixels": [b"" if picture is None else picture.tobytes() for picture in pictures],
    }


def unpack_images(facts: str, pixels: Sequence[bytes]) -> tuple[PreparedImage, list[SrImage]]:
    """What `pack_images` packed."""
    values = json.loads(facts)
    pictures = [_picture(data, shape) for data, shape in zip(pixels, values["shapes"], strict=True)]
    lr, hr, *srs = pictures
    assert lr is not None  # it was packed
    job, key, size, whole_size, io_seconds = values["image"]
    image = PreparedImage(ImageJob(*job), key, lr, hr, tuple(size), tuple(whole_size), io_seconds)
    made = [
        SrImage(method, sr, reason, seconds, peak_bytes, machine, bytes.fromhex(tally))
        for sr, (method, reason, seconds, peak_bytes, machine, tally) in zip(srs, values["made"], strict=True)
    ]
    return image, made


def _picture(data: bytes, shape: Sequence[int] | None) -> Picture | None:
    return None if shape is None else np.frombuffer(data, np.uint8).reshape(shape).copy()


def _row(values: Mapping[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([dict(values)], schema=_SCHEMA)
