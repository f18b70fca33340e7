import torch

from rssr.methods.slimdiffsr.accounting import published_parts
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.models.counting import count_live


def test_semantic_pruning_alone_has_the_figures_count() -> None:
    with torch.device("meta"):
        network = SlimDiffSR(first_conv="standard", second_conv="standard", attention="standard")
    assert count_live(network) + sum(published_parts("figure", network).values()) == 158_022_411  # printed: 158.0 M


def test_parts_of_the_student_are_those_that_its_checkpoint_carries_unused() -> None:
    with torch.device("meta"):
        network = SlimDiffSR()
    parts = published_parts("slimdiffsr", network)
    assert parts["time embedding, never used"] == 2_050_560
    assert sum(parts.values()) == 58_053_402 - 55_974_802
    assert min(parts.values()) > 0
