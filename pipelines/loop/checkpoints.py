"""Checkpoints that are whole or not there.

A checkpoint is a folder of objects. Its index, written last, lists every file with its SHA-256, and holds its own; a
folder without an index, or with anything that does not match it, is passed over. Writing goes on beside training; the
tensors are copied first.
"""

import hashlib
import io
import json
import logging
import math
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor
from torch.utils import _pytree as pytree

from pipelines.storage import ObjectMissing, Store
from rssr.methods.training import BestBy

log = logging.getLogger(__name__)

INDEX = "index.json"
_FOLDER = re.compile(r"step-(\d{8,})")


@dataclass
class Checkpoint:
    """All that a run needs to go on.

    Attributes:
        step: Optimizer steps done.
        tensors: Named groups of tensors (one an objective, one an average).
        optimizers: State of each optimizer.
        progress: Plain JSON values: loss history and counters.
        metrics: Those of the validation at this step, if there was one.
    """

    step: int
    tensors: dict[str, dict[str, Tensor]]
    optimizers: dict[str, dict[str, Any]]
    progress: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class KeptCheckpoint:
    """A whole checkpoint as its index tells of it.

    Attributes:
        step: Optimizer steps done.
        uri: Its folder.
        sha256: Digest of its files' names and digests.
        metrics: Those of the validation at this step, if there was one.
    """

    step: int
    uri: str
    sha256: str
    metrics: dict[str, float]


class CheckpointStore:
    """Checkpoints below one location.

    Args:
        store: Where the folders `step-00000100` lie.
        keep: Newest checkpoints that are kept.
        best_by: The metric whose best checkpoint is kept too, if any.
    """

    def __init__(self, store: Store, keep: int, best_by: BestBy | None = None) -> None:
        self._store = store
        self._keep = keep
        self._best_by = best_by

    def save(self, checkpoint: Checkpoint) -> str:
        """Write a checkpoint and delete the oldest; returns its key."""
        key = _key(checkpoint.step)
        files = _serialise(checkpoint)
        self._store.delete(f"{key}/{INDEX}")  # a damaged predecessor must not vouch for new files
        for name, data in files.items():
            self._store.write_bytes(f"{key}/{name}", data)
        digests = {name: _digest(data) for name, data in files.items()}
        self._store.write_bytes(f"{key}/{INDEX}", _write_index(digests, checkpoint.metrics))
        best = self.best()
        for old in self._keys()[: -self._keep]:
            if best is None or old != _key(best.step):
                self._store.delete(f"{old}/{INDEX}")
                self._store.delete_prefix(old)
        return key

    @property
    def uri(self) -> str:
        """Where the checkpoints lie."""
        return self._store.uri

    def kept(self) -> list[KeptCheckpoint]:
        """All that have an index, oldest first; their files are not read."""
        return list(self._kept())

    def best(self) -> KeptCheckpoint | None:
        """The one of the best metric, the oldest of several; None without a metric to go by, or before the first."""
        if self._best_by is None:
            return None
        metric, sign = self._best_by.metric, 1 if self._best_by.is_highest else -1
        measured = [entry for entry in self._kept() if math.isfinite(entry.metrics.get(metric, math.nan))]
        return max(measured, key=lambda entry: sign * entry.metrics[metric], default=None)

    def load_latest(self) -> Checkpoint | None:
        """The newest whole checkpoint, or None."""
        for key in reversed(self._keys()):
            files = self._read_whole(key)
            if files is not None:
                return _deserialise(files)
            log.warning("checkpoint %s/%s is incomplete or damaged and is passed over", self._store.uri, key)
        return None

    def _kept(self) -> Iterator[KeptCheckpoint]:
        for key in self._keys():
            try:
                index = _read_index(self._store.read_bytes(f"{key}/{INDEX}"))
            except (ObjectMissing, ValueError):
                continue
            yield KeptCheckpoint(int(key.split("-")[1]), f"{self._store.uri}/{key}", index.sha256, index.metrics)

    def _keys(self) -> list[str]:
        folders = {entry.key.split("/", 1)[0] for entry in self._store.list("")}
        steps = {int(match[1]): name for name in folders if (match := _FOLDER.fullmatch(name))}
        return [steps[step] for step in sorted(steps)]

    def _read_whole(self, key: str) -> dict[str, bytes] | None:
        try:
            digests = _read_index(self._store.read_bytes(f"{key}/{INDEX}")).files
            files = {name: self._store.read_bytes(f"{key}/{name}") for name in digests}
        except (ObjectMissing, ValueError):
            return None
        return files if all(_digest(data) == digests[name] for name, data in files.items()) else None


class CheckpointWriter:
    """Writes checkpoints in a thread of its own, one after another.

    At most one waits for the store; a step that comes with the next waits for it.

    Args:
        store: Where they go.
    """

    def __init__(self, store: CheckpointStore) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoints")
        self._pending: Future[str] | None = None

    @property
    def last_uri(self) -> str:
        """Where the newest checkpoint is, in words for a message; waits for one that is being written."""
        self.wait()
        keys = [entry.uri for entry in self._store.kept()]
        return keys[-1] if keys else "none yet"

    def put(self, checkpoint: Checkpoint) -> None:
        """Copy a checkpoint's tensors and write them beside training.

        Raises:
            StorageError: The one before could not be written.
        """
        self.wait()
        snapshot = pytree.tree_map_only(Tensor, _copied, (checkpoint.tensors, checkpoint.optimizers))
        tensors, optimizers = snapshot
        progress = json.loads(json.dumps(checkpoint.progress))
        copied = Checkpoint(checkpoint.step, tensors, optimizers, progress, dict(checkpoint.metrics))
        self._pending = self._thread.submit(self._store.save, copied)

    def wait(self) -> None:
        """Until everything put is durable.

        Raises:
            StorageError: It could not be written.
        """
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        except Exception:
            if kind is None:
                raise
            log.exception("a checkpoint could not be written")  # what ended the training matters more
        finally:
            self._thread.shutdown()


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)


def _key(step: int) -> str:
    return f"step-{step:08d}"


@dataclass(frozen=True)
class _Index:
    files: dict[str, str]
    metrics: dict[str, float]
    sha256: str


def _write_index(files: Mapping[str, str], metrics: Mapping[str, float]) -> bytes:
    told = {"files": dict(files), "metrics": dict(metrics)}
    digest = _digest(json.dumps(told, sort_keys=True).encode())
    return json.dumps({**told, "sha256": digest}, indent=1, sort_keys=True).encode()


def _read_index(data: bytes) -> _Index:
    """What an index tells; ValueError where it was altered."""
    values = json.loads(data)
    try:
        index = _Index(values["files"], values["metrics"], values["sha256"])
    except (TypeError, KeyError) as error:
        raise ValueError("not an index") from error
    if not index.files or _write_index(index.files, index.metrics) != data:
        raise ValueError("not an index")
    return index


def _serialise(checkpoint: Checkpoint) -> dict[str, bytes]:
    files = {
        f"{name}.safetensors": save_tensors({key: value.detach().contiguous() for key, value in group.items()})
        for name, group in checkpoint.tensors.items()
    }
    for name, state in checkpoint.optimizers.items():
        buffer = io.BytesIO()
        torch.save(state, buffer)
        files[f"{name}.optimizer.pt"] = buffer.getvalue()
    progress = {"step": checkpoint.step, "progress": checkpoint.progress}
    files["progress.json"] = json.dumps(progress, sort_keys=True).encode()
    return files


def _deserialise(files: Mapping[str, bytes]) -> Checkpoint:
    tensors = {
        name.removesuffix(".safetensors"): load_tensors(data)
        for name, data in files.items()
        if name.endswith(".safetensors")
    }
    optimizers = {
        name.removesuffix(".optimizer.pt"): torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
        for name, data in files.items()
        if name.endswith(".optimizer.pt")
    }
    progress = json.loads(files["progress.json"])
    return Checkpoint(progress["step"], tensors, optimizers, progress["progress"])


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
