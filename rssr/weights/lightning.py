"""Checkpoints of PyTorch and Lightning: the tensors are read, whatever objects travel beside them are not made."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rssr.errors import WeightsError
from rssr.weights.inert_pickle import InertPickle, read_inert_pickle
from rssr.weights.layout import without_wrapper_prefix
from rssr.weights.official import innermost_mapping, read_safetensors, tensors_by_name
from rssr.weights.tensor_records import InertPickleError, StorageRecord, TensorRecord

_MAX_PICKLE_BYTES = 64 << 20  # a checkpoint of 5,000 tensors needs about 1 MiB
_MAX_NAME_LENGTH = 300
_AGAIN = "Fetch it from its authors again; files that need code to load are never run."


@dataclass(frozen=True)
class LightningFile:
    """What was taken from a checkpoint.

    Attributes:
        state: Tensors by name, on the CPU, without wrappers' prefixes.
        epoch: Epochs trained; None where the file does not tell.
        global_step: Optimizer steps trained; None where the file does not tell.
        replaced: Names of the classes whose objects lay beside the tensors and were not made.
    """

    state: dict[str, Tensor]
    epoch: int | None = None
    global_step: int | None = None
    replaced: tuple[str, ...] = ()


def read_lightning(file: Path) -> LightningFile:
    """Read the tensors of a Lightning checkpoint, a plain `torch.save` archive or a safetensors file.

    Hyperparameters, callbacks and optimizers may be objects of any class: none is imported, made or called.

    Raises:
        WeightsError: If the file is missing or damaged, has the format of PyTorch before 1.6, or holds no tensors by
            name.
    """
    if not file.is_file():
        raise WeightsError(f"There is no file {file}.", "Check the path.")
    if file.suffix == ".safetensors":
        return LightningFile(without_wrapper_prefix(read_safetensors(file)))
    # PyTorch's own restricted reader is not asked: it refuses objects, and a nest of tuples as a key ends its process.
    return _read_archive(file)


def _read_archive(file: Path) -> LightningFile:
    if not zipfile.is_zipfile(file):
        raise WeightsError(
            f"{file} is no archive as PyTorch writes since 1.6; the format before it is not read.",
            "Fetch it again; or load it where it is trusted, and store its state_dict by torch.save.",
        )
    try:
        with zipfile.ZipFile(file) as archive:
            container = _Container(archive)
            pickle = container.read_pickle()
            tensors = container.with_tensors(innermost_mapping(pickle.content))
    except InertPickleError as error:
        raise WeightsError(f"{file} is damaged or unsafe and was not opened: {error}.", _AGAIN) from None
    except Exception as error:  # a garbled archive makes the reader stumble in any way it can
        raise WeightsError(f"{file} cannot be read as a PyTorch archive ({type(error).__name__}).", _AGAIN) from None
    return _taken(tensors, pickle, file)


def _taken(content: object, pickle: InertPickle, file: Path) -> LightningFile:
    state = tensors_by_name(content, file)
    _check_names(state, file)
    epoch, global_step = (_fact(pickle.content, key) for key in ("epoch", "global_step"))
    return LightningFile(without_wrapper_prefix(state), epoch, global_step, pickle.replaced)


def _check_names(state: Mapping[str, Tensor], file: Path) -> None:
    """Names are shown to users and become names in files."""
    for name in state:
        if len(name) > _MAX_NAME_LENGTH or not (name.isascii() and name.isprintable()):
            raise WeightsError(f"{file} names a tensor {name[:40]!a}, which is no plain name.", _AGAIN)


def _fact(content: object, key: str) -> int | None:
    value = content.get(key) if isinstance(content, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 62 else None


class _Container:
    """An archive of PyTorch: one folder with `data.pkl` and every storage in a file `data/KEY`."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._entries = {entry.filename: entry for entry in archive.infolist()}
        pickles = [name for name in self._entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1 or len(self._entries) != len(archive.infolist()):
            raise InertPickleError("it is not laid out as an archive of PyTorch")
        self._folder = pickles[0].removesuffix("data.pkl")
        self._storages: dict[StorageRecord, Tensor] = {}

    def read_pickle(self) -> InertPickle:
        """Everything but the tensors' values."""
        if f"{self._folder}byteorder" in self._entries and self._read("byteorder", 16) != b"little":
            raise InertPickleError("its values are stored big-endian, as no machine of today does")
        return read_inert_pickle(self._read("data.pkl", _MAX_PICKLE_BYTES))

    def with_tensors(self, content: object) -> object:
        """The mapping with tensors in place of their records; other values stay."""
        if not isinstance(content, Mapping):
            return content
        return {key: self._tensor(value) for key, value in content.items()}

    def _tensor(self, value: object) -> object:
        if not isinstance(value, TensorRecord):
            return value
        if value.storage not in self._storages:
            self._storages[value.storage] = self._read_values(value.storage)
        return self._storages[value.storage].as_strided(value.shape, value.strides, value.offset)

    def _read_values(self, storage: StorageRecord) -> Tensor:
        wanted = storage.num_values * storage.dtype.itemsize
        found = bytearray(self._read(f"data/{storage.key}", wanted))
        if len(found) != wanted:
            raise InertPickleError(f"storage {storage.key[:20]!a} has {len(found):,} bytes, not {wanted:,}")
        return torch.frombuffer(found, dtype=storage.dtype) if found else torch.empty(0, dtype=storage.dtype)

    def _read(self, name: str, max_bytes: int) -> bytes:
        entry = self._entries.get(self._folder + name)
        if entry is None:
            raise InertPickleError(f"its part {name[:40]!a} is missing")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise InertPickleError(f"its part {name[:40]!a} is compressed, as PyTorch does not")
        if entry.file_size > max_bytes:
            raise InertPickleError(f"its part {name[:40]!a} has {entry.file_size:,} bytes, not {max_bytes:,}")
        with self._archive.open(entry) as opened:
            return opened.read()
