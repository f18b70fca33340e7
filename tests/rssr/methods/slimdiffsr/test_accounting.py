import pytest
import torch

from rssr.methods.slimdiffsr.accounting import Share, published_parts, table_1
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


def test_table_1_comes_out_for_layers_alone_and_not_for_parameters() -> None:
    layers, attention, parameters = table_1()
    assert (round(layers.unet / 1e9, 1), round(layers.vae / 1e9, 1)) == (339.1, 1781.2)
    assert [round(share, 2) for share in layers.percent] == [15.99, 84.01]
    assert (round(attention.unet / 1e9, 1), round(attention.vae / 1e9, 1)) == (402.1, 1815.6)
    assert [round(share, 2) for share in attention.percent] == [18.13, 81.87]
    assert (parameters.unet, parameters.vae) == (865_910_724, 83_653_863)
    assert [round(share, 2) for share in parameters.percent] == [91.19, 8.81]
    assert [share.is_reproduced for share in (layers, attention, parameters)] == [True, False, False]


@pytest.mark.parametrize(("paper", "expected"), [((33.3, 66.7), True), ((33.4, 66.6), False)])
def test_a_share_is_reproduced_when_it_rounds_to_the_printed(paper: tuple[float, float], expected: bool) -> None:
    assert Share("apples", 1, 2, paper, 1).is_reproduced is expected
