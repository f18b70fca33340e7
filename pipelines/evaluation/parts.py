"""What was found so far, kept part by part: an interrupted evaluation goes on with the first part that is missing.

A part is a few images of one dataset at one scale, for all methods. Its name is a digest of everything that decides
what is found: a changed setting, image, model or library makes other parts, and what is unchanged is not done again.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.evaluation.task import EvaluationTask, ImageJob, Place
from pipelines.evaluation.work import Finding, jobs_of
from pipelines.storage import ObjectMissing, Store
from rssr.configuration import config_digest

_RULES_VERSION = 1  # raise it when what is found changes, so that no old part is taken
_FOLDER = "evaluations/parts"
_SCHEMA = pa.schema(
    [
        ("image", pa.int32()),
        ("method", pa.string()),
        ("has_row", pa.bool_()),
        ("metrics", pa.map_(pa.string(), pa.float64())),
        ("reasons", pa.list_(pa.string())),
        ("seconds", pa.float64()),
        ("seconds_with_io", pa.float64()),
        ("peak_bytes", pa.int64()),
        ("machine", pa.string()),
        ("features", pa.list_(pa.float32())),
        ("tally", pa.binary()),
    ]
)


@dataclass(frozen=True)
class Part:
    """Some images at one scale.

    Attributes:
        jobs: The images.
        digest: Of everything that decides what is found.
    """

    jobs: tuple[ImageJob, ...]
    digest: str

    @property
    def key(self) -> str:
        """Where it is kept."""
        return f"{_FOLDER}/{self.digest[:2]}/{self.digest[:40]}.parquet"


def plan_parts(task: EvaluationTask, images_per_part: int, software: Sequence[str]) -> list[Part]:
    """All parts of an evaluation, ordered by dataset, scale and image.

    Args:
        task: The evaluation.
        images_per_part: Images of a part, the last one of a dataset excepted.
        software: Versions and digests of what the figures are made with, e.g. of PyTorch and of metrics' weights.
    """
    common = _common_facts(task, software)
    parts = []
    for (number, scale), group in groupby(jobs_of(task), key=lambda job: (job.dataset, job.scale)):
        jobs = list(group)
        methods = [(method.name, method.identity) for method in task.methods_at(scale)]
        for first in range(0, len(jobs), images_per_part):
            mine = tuple(jobs[first : first + images_per_part])
            images = [_facts_of(task, job) for job in mine]
            dataset = task.datasets[number]
            own = [dataset.name, dataset.has_hr, dataset.max_side, bool(dataset.lr_images)]
            parts.append(Part(mine, config_digest(_RULES_VERSION, common, own, scale, methods, images)))
    return parts


def read_part(part: Part, store: Store) -> list[Finding] | None:
    """What was found of a part; None where that is not known yet, or damaged."""
    try:
        data = store.read_bytes(part.key)
    except ObjectMissing:
        return None
    try:
        return unpack_findings(data)
    except (pa.ArrowException, OSError):
        return None


def write_part(part: Part, findings: Sequence[Finding], store: Store) -> None:
    """Keep what was found; it appears whole or not at all."""
    store.write_bytes(part.key, pack_findings(findings))


def pack_findings(findings: Sequence[Finding]) -> bytes:
    """Findings as a Parquet file."""
    buffer = io.BytesIO()
    table = pa.Table.from_pylist([_to_row(finding) for finding in findings], schema=_SCHEMA)
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def unpack_findings(data: bytes) -> list[Finding]:
    """What `pack_findings` packed."""
    return [_to_finding(row) for row in pq.read_table(io.BytesIO(data), schema=_SCHEMA).to_pylist()]


def forget_parts(parts: Sequence[Part], store: Store) -> None:
    """Remove what an earlier evaluation of the same configuration left."""
    for part in parts:
        store.delete(part.key)


def _common_facts(task: EvaluationTask, software: Sequence[str]) -> list[object]:
    measuring = task.measuring
    measured = [list(measuring.metrics), measuring.features, measuring.reliability, measuring.border]
    return [measured, task.degradation.digest_values(), task.seed, task.device, task.num_threads, list(software)]


def _facts_of(task: EvaluationTask, job: ImageJob) -> list[object]:
    """What an image is: its content, that of its LR image, and of those made elsewhere."""
    dataset = task.datasets[job.dataset]
    record, lr = dataset.images[job.image], dataset.lr_images[job.image] if dataset.lr_images else None
    made = [
        list(place) if isinstance(place := dataset.made[method.name, job.scale][job.image], Place) else place
        for method in task.methods_at(job.scale)
        if method.kind == "images"
    ]
    # The position is part of what is kept.
    return [job.image, record.key, record.sha256, None if lr is None else lr.sha256, made]


def _to_row(finding: Finding) -> dict[str, object]:
    return {
        "image": finding.image,
        "method": finding.method,
        "has_row": finding.metrics is not None,
        "metrics": list((finding.metrics or {}).items()),
        "reasons": list(finding.reasons),
        "seconds": finding.seconds,
        "seconds_with_io": finding.seconds_with_io,
        "peak_bytes": finding.peak_bytes,
        "machine": finding.machine,
        "features": finding.features,
        "tally": finding.tally,
    }


def _to_finding(row: dict[str, object]) -> Finding:
    values = dict(row)
    has_row, metrics, features = (values.pop(name) for name in ("has_row", "metrics", "features"))
    return Finding(
        **{**values, "reasons": tuple(values["reasons"])},  # type: ignore[arg-type]  # as the schema says
        metrics=dict(metrics) if has_row else None,  # type: ignore[call-overload]  # likewise
        features=None if features is None else np.array(features, np.float32),
    )
