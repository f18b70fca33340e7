"""A model whose weights are no numbers."""

from pathlib import Path

import torch

from rssr.models.registry import create_model
from rssr.weights.folder import save_model_folder
from tests.pipelines.evaluation.small import TINY_STUDENT, card_of


def broken(folder: Path) -> Path:
    """A student of SlimDiffSR that gives NaN; returns the folder."""
    torch.manual_seed(0)
    network = create_model("slimdiffsr", **TINY_STUDENT)
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    save_model_folder(folder, "slimdiffsr", TINY_STUDENT, network, card_of("broken", "slimdiffsr"))
    return folder
