"""A network made ready to run fast: the same function up to rounding, for inference alone.

What is done, in this order, each step where it pays:

1. Layers take their cheaper forms (`rssr.layers.folded`), summed in the network's own type.
2. Weights and activations become bfloat16 where the hardware multiplies it natively: elsewhere it is emulated and
   slower than float32. Every layer is converted, the first and the last too: together they cost the result less
   than one 8-bit level. Parts that a network names in `exact_parts` stay in float32.
3. Memory order becomes channels last, which the convolutions of oneDNN and cuDNN want.
4. On CUDA the network is compiled and its launches are recorded as a CUDA graph. On a CPU it is not: compiling takes
   minutes and saved nothing that could be measured, since convolutions and linear layers are nine tenths of the time.
"""

import copy
from dataclasses import replace
from typing import TypeVar

import torch
from torch import nn

from rssr.errors import ModelError
from rssr.layers.folded import convolve_tokens, fold_layers
from rssr.models.latent.network import LatentSR
from rssr.models.loaded import LoadedModel
from rssr.models.registry import build_resolver

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def prepare_fast(
    network: NetworkT, device: str | torch.device, dtype: torch.dtype | None = None, compiled: bool | None = None
) -> NetworkT:
    """A fast copy of a network; the network itself stays as it is.

    Results are the same from call to call. They differ from the network's own by rounding: at least 45 dB of PSNR
    between images of 8 bit.

    Args:
        network: Any network of ours.
        device: Where the copy shall run.
        dtype: Type of weights, activations and input; by default bfloat16 where it is native, else float32.
        compiled: Whether to compile it as `compile_fast` does; by default on CUDA.

    Returns:
        The copy, frozen and in eval mode. It takes inputs of `dtype`, or of the type of its exact parts, if it has any.
    """
    device = torch.device(device)
    fast = copy.deepcopy(network).requires_grad_(False).eval()
    fold_layers(fast)
    dtype = dtype or fast_dtype(device)
    if device.type == "cpu" and dtype == torch.bfloat16:
        convolve_tokens(fast)
    _convert(fast.to(device), dtype)
    fast.to(memory_format=torch.channels_last)
    if device.type == "cuda" if compiled is None else compiled:
        compile_fast(fast, device)
    return fast


def _convert(network: nn.Module, dtype: torch.dtype) -> None:
    """Give all of a network but its exact parts another type, in place."""
    exact: tuple[str, ...] = getattr(network, "exact_parts", ())
    for name, part in network.named_children():
        if name not in exact:
            part.to(dtype)
    for name, held in (*network.named_parameters(recurse=False), *network.named_buffers(recurse=False)):
        if name not in exact and held.is_floating_point():
            held.data = held.data.to(dtype)


def fast_model(model: LoadedModel) -> LoadedModel:
    """A fast copy of a loaded model on the same device, for images of any size.

    It is not compiled: each new size of a tile would be compiled anew.

    Raises:
        ModelError: The model's network is neither a student nor LDCSR's or LCMSR's, and has no fast form.
    """
    if model.network is None:
        return model
    is_student = isinstance(getattr(model.network, "stride", None), int)
    if not is_student and not isinstance(model.network, LatentSR):
        raise ModelError(f"{model.name} has no fast form.", "Run it without, or choose a student, e.g. slimdiffsr.")
    network = prepare_fast(model.network, next(model.network.parameters()).device, compiled=False)
    return replace(model, network=network, resolver=build_resolver(model.name, network))


def compile_fast(network: nn.Module, device: str | torch.device, autotune: bool = False) -> None:
    """Compile a frozen network in place; the first calls for every input size then take seconds to minutes.

    On CUDA a result lies where the next call will write: copy what is to be kept.

    Args:
        network: Where it runs already; called without gradients from then on.
        device: Where that is.
        autotune: On CUDA, also time several kernels for each product and keep the fastest, which takes minutes. Two
            processes may then choose differently, and round differently.
    """
    if torch.device(device).type == "cuda":
        network.compile(fullgraph=True, dynamic=False, mode="max-autotune" if autotune else "reduce-overhead")
    else:
        # Constant weights can be packed once, and activations merged into the convolutions before them.
        network.compile(fullgraph=True, dynamic=False, options={"freezing": True})


def fast_dtype(device: str | torch.device) -> torch.dtype:
    """bfloat16 where a device multiplies it natively, else float32."""
    if torch.device(device).type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities: dict[str, object] = getattr(
            torch.cpu, "get_capabilities", dict
        )()  # older releases of PyTorch cannot tell
        native = any(present is True for name, present in capabilities.items() if name.endswith("bf16"))
    return torch.bfloat16 if native else torch.float32
