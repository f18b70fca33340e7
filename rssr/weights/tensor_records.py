"""Tensors as a pickle describes them: records of where their values lie, checked against their storages.

Also what stands for everything that is no tensor: names of functions and classes, and inert objects.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

MAX_TENSOR_VALUES = 1 << 28
"""Values of one tensor: 1 GiB of float32. A tensor may repeat its values, so its file does not bound it."""

_MAX_DIMENSIONS = 16
_STORAGE_TYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {
        "torch.DoubleStorage": torch.float64,
        "torch.FloatStorage": torch.float32,
        "torch.HalfStorage": torch.float16,
        "torch.BFloat16Storage": torch.bfloat16,
        "torch.LongStorage": torch.int64,
        "torch.IntStorage": torch.int32,
        "torch.ShortStorage": torch.int16,
        "torch.CharStorage": torch.int8,
        "torch.ByteStorage": torch.uint8,
        "torch.BoolStorage": torch.bool,
    }
)


class InertPickleError(ValueError):
    """The stream is damaged, or describes what cannot be."""


@dataclass(frozen=True, slots=True, eq=False)
class GlobalName:
    """A function or class that a pickle names, by name alone."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Inert:
    """Stands where an object would: arguments, state and items given to it are dropped.

    Attributes:
        name: What the object would have been made by, e.g. `omegaconf.dictconfig.DictConfig`.
    """

    name: str


@dataclass(frozen=True, slots=True)
class StorageRecord:
    """A block of values beside the pickle.

    Attributes:
        key: Its name in the archive.
        dtype: Type of its values.
        num_values: How many it holds.
    """

    key: str
    dtype: torch.dtype
    num_values: int


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """A tensor that can be read from its storage; it never reaches beyond it."""

    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_count(value: object) -> int:
    """A whole number of at least 0.

    Raises:
        InertPickleError: If it is something else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InertPickleError("the pickle has something else where a count belongs")
    return value


def _counts(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple) or len(value) > _MAX_DIMENSIONS:
        raise InertPickleError("a tensor's shape or strides are no short tuple")
    return tuple(read_count(item) for item in value)


def read_storage(identity: object) -> StorageRecord | Inert:
    """The storage that a persistent identity names: ("storage", type, key, device, number of values).

    Raises:
        InertPickleError: If it is no such tuple.
    """
    if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
        raise InertPickleError("the pickle refers to something beside it that is no storage")
    kind, key = identity[1], identity[2]
    if not isinstance(kind, GlobalName) or not isinstance(key, str):
        raise InertPickleError("a storage is named by something other than text")
    dtype = _STORAGE_TYPES.get(kind.name)
    return Inert(kind.name) if dtype is None else StorageRecord(key, dtype, read_count(identity[4]))


def _read_tensor(arguments: tuple[object, ...]) -> TensorRecord:
    """Arguments of PyTorch's `_rebuild_tensor`: storage, offset, shape, strides; more follow and mean nothing here."""
    if len(arguments) < 4 or not isinstance(arguments[0], StorageRecord):
        raise InertPickleError("a tensor is made from something other than a known storage")
    storage, offset = arguments[0], read_count(arguments[1])
    shape, strides = _counts(arguments[2]), _counts(arguments[3])
    if len(shape) != len(strides):
        raise InertPickleError("a tensor has as many strides as it has not dimensions")
    num_values = 1
    for size in shape:
        num_values *= size
    if num_values > MAX_TENSOR_VALUES:
        raise InertPickleError(f"a tensor of {num_values:,} values is beyond any checkpoint of these methods")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if (last if num_values else offset - 1) >= storage.num_values:
        raise InertPickleError("a tensor reaches beyond its storage")
    return TensorRecord(storage, offset, shape, strides)


def _read_parameter(arguments: tuple[object, ...]) -> TensorRecord:
    if not arguments or not isinstance(arguments[0], TensorRecord):
        raise InertPickleError("a parameter is made from something other than a tensor")
    return arguments[0]


def _read_size(arguments: tuple[object, ...]) -> tuple[int, ...]:
    return _counts(arguments[0] if len(arguments) == 1 else None)


def _read_mapping(arguments: tuple[object, ...]) -> dict[object, object]:
    if any(not isinstance(argument, GlobalName) for argument in arguments):  # a default's factory, at most
        raise InertPickleError("a dictionary is made from arguments, as in no checkpoint")
    return {}


REBUILDERS: Mapping[str, Callable[[tuple[object, ...]], object]] = MappingProxyType(
    {
        "torch._utils._rebuild_tensor": _read_tensor,
        "torch._utils._rebuild_tensor_v2": _read_tensor,
        "torch._utils._rebuild_parameter": _read_parameter,
        "torch._utils._rebuild_parameter_with_state": _read_parameter,
        "torch.Size": _read_size,
        "collections.OrderedDict": _read_mapping,
        "collections.defaultdict": _read_mapping,
    }
)
"""By name: what is rebuilt from its arguments. Everything else that a pickle calls becomes an `Inert`."""
