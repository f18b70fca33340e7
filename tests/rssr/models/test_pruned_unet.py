import torch

from rssr.layers.design import BlockDesign
from rssr.models.pruned_unet import PrunedUNet, UNetShape

PUBLISHED = UNetShape((320, 640), 1280, 2, 0, "residual")
DESIGN = BlockDesign(norm_num_groups=8, num_queries=4, query_channels=8)


def test_concatenated_widths_are_the_published_ones() -> None:
    assert PUBLISHED.up_inputs() == [[1280 + 640, 640 + 640, 640 + 320], [640 + 320, 320 + 320, 320 + 320]]


def test_full_depth_has_stable_diffusions_widths() -> None:
    shape = UNetShape((320, 640, 1280, 1280), 1280, 2, 1, "attention")
    assert shape.up_inputs() == [
        [2560, 2560, 2560],
        [2560, 2560, 1920],
        [1920, 1280, 960],
        [960, 640, 640],
    ]
    assert [shape.has_attention(level) for level in range(4)] == [True, True, True, False]


def test_every_level_hands_out_its_feature() -> None:
    unet = PrunedUNet(UNetShape((16, 24), 32, 1, 0, "residual"), DESIGN)
    features, levels = unet(torch.zeros(1, 16, 6, 10))
    assert features.shape == (1, 16, 6, 10)
    assert {name: tuple(value.shape[1:]) for name, value in levels.items()} == {
        "down0": (16, 3, 5),
        "down1": (24, 3, 5),
        "mid": (32, 3, 5),
        "up0": (24, 6, 10),
        "up1": (16, 6, 10),
    }


def test_any_depth_with_latents_and_a_plain_deepest_level() -> None:
    unet = PrunedUNet(UNetShape((8, 16, 24), 24, 2, 1, "attention"), DESIGN, latent_channels=4)
    features, levels = unet(torch.zeros(2, 4, 8, 12))
    assert features.shape == (2, 4, 8, 12)
    assert list(levels) == ["down0", "down1", "down2", "mid", "up0", "up1", "up2"]
    deepest = [
        name for name in unet.state_dict() if name.startswith(("down_blocks.2.attn", "down_blocks.2.attentions"))
    ]
    assert deepest == []


def test_calls_do_not_influence_one_another(generator: torch.Generator) -> None:
    unet = PrunedUNet(UNetShape((8, 16), 16, 1, 0, "residual"), DESIGN)
    x, other = torch.randn(2, 1, 8, 4, 4, generator=generator)
    with torch.no_grad():
        first = unet(x).features
        unet(other)
        assert torch.equal(unet(x).features, first)
