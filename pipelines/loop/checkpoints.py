"""Checkpoints that are whole or not there.

A checkpoint is a folder of objects. Its index, written last, lists every file with its SHA-256, and holds its own; a
folder without an index, or with anything that does not match it, is passed over.
"""

import hashlib
import io
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from pipelines.storage import ObjectMissing, Store

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
    """

    step: int
    tensors: dict[str, dict[str, Tensor]]
    optimizers: dict[str, dict[str, Any]]
    progress: dict[str, Any]


class CheckpointStore:
    """Checkpoints below one location.

    Args:
        store: Where the folders `step-00000100` lie.
        keep: Newest checkpoints that are kept.
    """

    def __init__(self, store: Store, keep: int) -> None:
        self._store = store
        self._keep = keep

    def save(self, checkpoint: Checkpoint) -> str:
        """Write a checkpoint and delete the oldest; returns its key."""
        key = f"step-{checkpoint.step:08d}"
        files = _serialise(checkpoint)
        self._store.delete(f"{key}/{INDEX}")  # a damaged predecessor must not vouch for new files
        for name, data in files.items():
            self._store.write_bytes(f"{key}/{name}", data)
        self._store.write_bytes(f"{key}/{INDEX}", _write_index({name: _digest(data) for name, data in files.items()}))
        for old in self._keys()[: -self._keep]:
            self._store.delete(f"{old}/{INDEX}")
            self._store.delete_prefix(old)
        return key

    def load_latest(self) -> Checkpoint | None:
        """The newest whole checkpoint, or None."""
        for key in reversed(self._keys()):
            files = self._read_whole(key)
            if files is not None:
                return _deserialise(files)
            log.warning("checkpoint %s/%s is incomplete or damaged and is passed over", self._store.uri, key)
        return None

    def _keys(self) -> list[str]:
        folders = {entry.key.split("/", 1)[0] for entry in self._store.list("")}
        steps = {int(match[1]): name for name in folders if (match := _FOLDER.fullmatch(name))}
        return [steps[step] for step in sorted(steps)]

    def _read_whole(self, key: str) -> dict[str, bytes] | None:
        try:
            digests = _read_index(self._store.read_bytes(f"{key}/{INDEX}"))
            files = {name: self._store.read_bytes(f"{key}/{name}") for name in digests}
        except (ObjectMissing, ValueError):
            return None
        return files if all(_digest(data) == digests[name] for name, data in files.items()) else None


def _write_index(digests: Mapping[str, str]) -> bytes:
    files = json.dumps(digests, sort_keys=True)
    return json.dumps({"files": digests, "sha256": _digest(files.encode())}, indent=1, sort_keys=True).encode()


def _read_index(data: bytes) -> dict[str, str]:
    """Digests by file name; ValueError where the index was altered."""
    index = json.loads(data)
    digests: dict[str, str] = index.get("files", {}) if isinstance(index, dict) else {}
    if not digests or _write_index(digests) != data:
        raise ValueError("not an index")
    return digests


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
