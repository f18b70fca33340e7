"""Diffusion super-resolution of remote-sensing images: the networks and the mathematics, without a cluster.

The names below are imported when first used, so that `import rssr` costs nothing and the networks need nothing but
PyTorch, NumPy and safetensors.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rssr.inference import super_resolve
    from rssr.models.loaded import load_model
    from rssr.models.registry import create_model, list_models

__version__ = "0.1.0"
__all__ = ["__version__", "create_model", "list_models", "load_model", "super_resolve"]

_HOMES = {
    "create_model": "rssr.models.registry",
    "list_models": "rssr.models.registry",
    "load_model": "rssr.models.loaded",
    "super_resolve": "rssr.inference",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  # the exported names have different types
    if name not in _HOMES:
        raise AttributeError(f"module 'rssr' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
