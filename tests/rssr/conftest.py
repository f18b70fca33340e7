"""Conformance vectors: recorded inputs, weights and outputs of the published networks."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

VECTORS = Path(__file__).parents[1] / "vectors"
TINY_STUDENT: dict[str, Any] = {
    "block_channels": [16, 32],
    "mid_channels": 32,
    "layers_per_block": 1,
    "taesd_channels": 8,
    "num_encoder_blocks": [1, 1, 1, 1],
    "num_decoder_blocks": [1, 1, 1, 1],
    "norm_num_groups": 8,
    "num_queries": 4,
    "query_channels": 8,
}
"""Architecture of the smallest student with every part."""


@dataclass(frozen=True)
class VectorFile:
    """One recorded file: tensors named in/, w/, mid/, out/ and a tolerance for each result."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    def weights(self, case: str) -> dict[str, Tensor]:
        beginning = f"w/{case}."
        return {name.removeprefix(beginning): t for name, t in self.tensors.items() if name.startswith(beginning)}

    def assert_close(self, name: str, result: Tensor) -> None:
        recorded = self.tensors[name]
        assert result.shape == recorded.shape
        difference = (result.double() - recorded.double()).abs().max().item()
        assert difference <= self.facts["tolerance_atol"][name], f"{name} differs by {difference}"


@pytest.fixture(scope="session")
def vector_file() -> Callable[[str], VectorFile]:
    """Reads a vector file by name."""

    def read(name: str) -> VectorFile:
        facts = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
        return VectorFile(load_file(VECTORS / f"{name}.safetensors"), facts)

    return read


@pytest.fixture(scope="session")
def student_checkpoint() -> Path:
    """Reduced student under the official key names, safetensors, with `module.` before every name."""
    return VECTORS / "slim_student_small.weights.safetensors"


@pytest.fixture(scope="session")
def reduced_architecture() -> dict[str, Any]:
    """Values of the reduced student that the vectors were recorded with."""
    return {"block_channels": (32, 64), "mid_channels": 128, "taesd_channels": 16, "norm_num_groups": 8}


@pytest.fixture(scope="session")
def tiny_architecture() -> dict[str, Any]:
    """The smallest student with every part."""
    return dict(TINY_STUDENT)


@pytest.fixture
def generator() -> torch.Generator:
    """A seeded source of random inputs."""
    return torch.Generator().manual_seed(7)
