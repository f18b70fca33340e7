"""Memory of a training step's activations, measured without computing or allocating them.

Networks that were built on the device `meta` are moved to a pretended CPU or GPU (PyTorch's fake tensors): every
tensor has the size and type it would have there, autograd keeps what it would keep there, and no value exists. What
a device's libraries and allocator take on top is not counted.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class ActivationMemory:
    """What a run allocates besides what was there before, in bytes.

    Attributes:
        saved: Kept by autograd for the backward pass, each storage once.
        peak: Largest sum of all that is alive at one moment of the run, `saved` included.
    """

    saved: int
    peak: int


def measure_activations(run: Callable[[], object], held: Iterable[Tensor]) -> ActivationMemory:
    """Measure one forward pass; works on real and on pretended devices.

    Args:
        run: Computes a loss; its result keeps the graph alive.
        held: Tensors that are no activations: parameters and buffers.
    """
    tracker = _Tracker(held)
    with saved_tensors_hooks(tracker.save, _as_it_is), tracker:
        result = run()
        saved = tracker.saved_bytes()
    del result
    return ActivationMemory(saved, tracker.peak)


@contextmanager
def pretended_device(
    networks: Iterable[nn.Module], device: torch.device, autocast: torch.dtype | None = None
) -> Iterator[None]:
    """Inside, networks live on a device that need not exist, and new tensors hold no values.

    Args:
        networks: Built on the device `meta`; of no use afterwards.
        device: `cpu` or `cuda`.
        autocast: Type of the forward pass's arithmetic where it is not that of the weights.
    """
    as_there = _OnGpu() if device.type == "cuda" else nullcontext()
    with FakeTensorMode(allow_non_fake_inputs=True), as_there, _autocast(device.type, autocast):
        for network in networks:
            network.to_empty(device=device)
        yield


class _Tracker(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch's, untyped
    """Sees every tensor that an operator returns, and every tensor that autograd saves."""

    def __init__(self, held: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self._held = {_reference(tensor) for tensor in held}
        self._alive: dict[StorageWeakRef, int] = {}
        self._saved: dict[StorageWeakRef, int] = {}
        self._num_bytes = 0
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401  # PyTorch's signature
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self._note(tensor)
        return result

    def save(self, tensor: Tensor) -> Tensor:
        """Autograd's hook: called for every tensor it keeps."""
        reference = _reference(tensor)
        if reference not in self._held:
            self._saved[reference] = tensor.untyped_storage().nbytes()
        return tensor

    def saved_bytes(self) -> int:
        """Of those that are still kept."""
        return sum(_existing(self._saved).values())

    def _note(self, tensor: Tensor) -> None:
        reference = _reference(tensor)
        if reference in self._held or reference in self._alive:
            return
        self._alive[reference] = tensor.untyped_storage().nbytes()
        self._num_bytes += self._alive[reference]
        if self._num_bytes > self.peak:  # what was freed since is still in the sum; look only when it matters
            self._alive = _existing(self._alive)
            self._num_bytes = sum(self._alive.values())
            self.peak = max(self.peak, self._num_bytes)


class _OnGpu(TorchFunctionMode):
    """What PyTorch would ask a real GPU for.

    Attention runs by the kernel that it has, which keeps no matrix of scores; where there is none to ask, PyTorch
    would fall back to the plain formula. Gradients that a loss takes of itself, as adaptive weights do, come without
    their backward pass, which needs the device and leaves nothing behind.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401  # PyTorch's signature
        if func is torch.autograd.grad:
            return _gradients_of(*args, **(kwargs or {}))
        if func is F.scaled_dot_product_attention:
            return _fused_attention(*args[:3], **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _gradients_of(outputs: object, inputs: Tensor | Sequence[Tensor], **options: object) -> tuple[Tensor, ...]:
    """Gradients in their sizes alone."""
    return tuple(torch.empty_like(value) for value in ((inputs,) if isinstance(inputs, Tensor) else inputs))


def _fused_attention(query: Tensor, key: Tensor, value: Tensor, **options: object) -> Tensor:
    """Options, such as a scale or a mask, change values but neither sizes nor what is kept."""
    if torch.is_autocast_enabled("cuda"):
        query, key, value = (tensor.to(torch.get_autocast_dtype("cuda")) for tensor in (query, key, value))
    keeps = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (query, key, value))
    kernel = torch.ops.aten._scaled_dot_product_efficient_attention
    attended: Tensor = kernel(query, key, value, None, keeps)[0]
    return attended


@contextmanager
def _autocast(device_type: str, dtype: torch.dtype | None) -> Iterator[None]:
    """As `torch.autocast`, which switches itself off where the device does not exist."""
    before = torch.is_autocast_enabled(device_type), torch.get_autocast_dtype(device_type)
    torch.set_autocast_enabled(device_type, dtype is not None)
    torch.set_autocast_dtype(device_type, dtype or before[1])
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        if torch.autocast_decrement_nesting() == 0:
            torch.clear_autocast_cache()
        torch.set_autocast_enabled(device_type, before[0])
        torch.set_autocast_dtype(device_type, before[1])


def _reference(tensor: Tensor) -> StorageWeakRef:
    """A name for a tensor's memory, equal for all its views, that does not keep it alive."""
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]  # PyTorch's, untyped


def _existing(sizes: dict[StorageWeakRef, int]) -> dict[StorageWeakRef, int]:
    return {storage: size for storage, size in sizes.items() if not storage.expired()}  # type: ignore[no-untyped-call]


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor
