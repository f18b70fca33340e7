"""How much memory the results of operations take at once, counted exactly, on any device and on `meta`."""

from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # the class is untyped in PyTorch
    """While this is entered, follows which results are alive after each operation.

    What an operation takes for itself while it runs is not seen.

    Attributes:
        peak: Most bytes that were alive at once; what existed before does not count.
        largest_numel: Values in the largest result.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self.largest_numel = 0
        self._live: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        """Run one operation; arguments and results have any type."""
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self._live[StorageWeakRef(storage)] = storage.nbytes()  # type: ignore[no-untyped-call]
                self.largest_numel = max(self.largest_numel, tensor.numel())
        self._live = {held: size for held, size in self._live.items() if not held.expired()}  # type: ignore[no-untyped-call]
        self.peak = max(self.peak, sum(self._live.values()))
        return out
