"""How the trained parameters lie on the processes: whole on each (DDP), or in pieces (FSDP2).

Either way gradients come out as the mean over the processes, and a checkpoint holds whole tensors: it does not tell
how many processes wrote it.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils import _pytree as pytree

from rssr.errors import ConfigError
from rssr.methods.phase import Batch, Loss, Objective

T = TypeVar("T")

_UNIT_PARAMETERS = 1_000_000  # blocks smaller than this are not worth a round of messages of their own


class Parallel(Protocol):
    """Runs objectives on one process's share of the samples."""

    def loss(self, name: str, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        """An objective's loss; its backward pass is where processes meet."""

    def accumulating(self, name: str, last: bool) -> AbstractContextManager[None]:
        """Around the forward and backward pass of an objective: gradients meet in the last of a step alone."""

    def assembled(self) -> AbstractContextManager[None]:
        """While networks are called otherwise than through `loss`; entered by all processes at once."""


class Alone:
    """One process."""

    def __init__(self, objectives: Mapping[str, Objective]) -> None:
        self._objectives = objectives

    def loss(self, name: str, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        """See `Parallel.loss`."""
        loss: Loss = self._objectives[name](batch, step, carry)
        return loss

    def accumulating(self, name: str, last: bool) -> AbstractContextManager[None]:
        """Nothing to meet for."""
        return nullcontext()

    def assembled(self) -> AbstractContextManager[None]:
        """Nothing to assemble."""
        return nullcontext()


class Replicas:
    """Every process holds all parameters; the backward pass averages gradients (DDP).

    Args:
        objectives: Losses by optimizer name, equal on all processes.
    """

    def __init__(self, objectives: Mapping[str, Objective]) -> None:
        # Unused parameters are looked for: a loss may leave some out at some steps. Buckets are then never arranged
        # anew after the first step, so a resumed run adds in the order of an undisturbed one. Buffers are not handed
        # round: batch statistics are those of all processes already.
        self._modules = {
            name: DistributedDataParallel(_Plain(objective), find_unused_parameters=True, broadcast_buffers=False)
            for name, objective in objectives.items()
        }

    def loss(self, name: str, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        """See `Parallel.loss`."""
        return Loss(*self._modules[name](batch, step, carry))

    def accumulating(self, name: str, last: bool) -> AbstractContextManager[None]:
        """See `Parallel.accumulating`."""
        return nullcontext() if last else self._modules[name].no_sync()

    def assembled(self) -> AbstractContextManager[None]:
        """Nothing to assemble."""
        return nullcontext()


class Shards:
    """Every process holds a piece of each parameter, its gradient and its optimizer state (FSDP2).

    Blocks of many parameters are put together one after another while they compute.

    Args:
        objectives: Losses by optimizer name; their parameters are replaced by sharded ones.
        device: Where the processes compute.
        world_size: Number of processes.

    Raises:
        ConfigError: There are several objectives, whose networks judge one another.
    """

    def __init__(self, objectives: Mapping[str, Objective], device: torch.device, world_size: int) -> None:
        if len(objectives) > 1:
            raise ConfigError(
                f"Sharding is for phases of one optimizer; this one has {len(objectives)}: {', '.join(objectives)}.",
                "Use parallelism=replicas, or leave the adversarial loss out.",
            )
        mesh = init_device_mesh(device.type, (world_size,))
        self._modules: dict[str, FSDPModule] = {}
        for name, objective in objectives.items():
            for unit in _units(objective):
                fully_shard(unit, mesh=mesh)
            self._modules[name] = fully_shard(_Plain(objective), mesh=mesh)

    def loss(self, name: str, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        """See `Parallel.loss`."""
        module = self._modules[name]
        assert isinstance(module, nn.Module)  # FSDP makes it both
        return Loss(*module(batch, step, carry))

    @contextmanager
    def accumulating(self, name: str, last: bool) -> Iterator[None]:
        """See `Parallel.accumulating`."""
        self._modules[name].set_requires_gradient_sync(last)
        yield

    @contextmanager
    def assembled(self) -> Iterator[None]:
        """See `Parallel.assembled`; blocks assemble themselves when they are called."""
        for module in self._modules.values():
            module.unshard()
        try:
            yield
        finally:
            for module in self._modules.values():
                module.reshard()


def whole(values: T) -> T:
    """The same structure with sharded tensors put together; all processes must ask at once."""
    assembled: T = pytree.tree_map_only(DTensor, lambda tensor: tensor.full_tensor(), values)
    return assembled


def fill(target: Tensor, value: Tensor) -> None:
    """Copy a whole tensor into one that may be sharded."""
    target.copy_(_laid_out(value, target))


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Fill an optimizer from a checkpoint's whole tensors."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    laid_out = {
        number: {name: _laid_out(value, parameters[number]) for name, value in entries.items()}
        for number, entries in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": laid_out})


def _laid_out(value: Any, target: Tensor) -> Any:  # noqa: ANN401  # optimizers also keep numbers
    """A whole tensor as pieces where a target of the same shape is in pieces; others stay as they are."""
    if isinstance(target, DTensor) and isinstance(value, Tensor) and value.shape == target.shape:
        return distribute_tensor(value.to(target.device), target.device_mesh, target.placements)
    return value


class _Plain(nn.Module):
    """An objective that returns a plain tuple: wrappers look for tensors in those, not in classes of ours."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.objective = objective

    def forward(
        self, batch: Batch, step: int, carry: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """The fields of the objective's `Loss`."""
        loss: Loss = self.objective(batch, step, carry)
        return loss.total, loss.terms, loss.carry


def _units(objective: nn.Module) -> list[nn.Module]:
    """Large blocks that are surely entered by a call: members of lists and sequences, inner ones first."""
    found: list[nn.Module] = []
    for module in objective.modules():
        if isinstance(module, nn.ModuleList | nn.Sequential):
            found += [block for block in module if _is_callable(block) and _num_parameters(block) >= _UNIT_PARAMETERS]
    return list(dict.fromkeys(reversed(found)))


def _is_callable(block: nn.Module) -> bool:
    return type(block).forward is not nn.Module.forward


def _num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
