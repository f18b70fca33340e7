import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rssr.card import ModelCard
from rssr.errors import ModelError, WeightsError
from rssr.weights.folder import is_model_folder, load_model_folder, save_model_folder

CARD = ModelCard(name="example", method="slimdiffsr", bands=["red"], scale_range=(4, 4), licence="CC0-1.0")


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2))


def save(folder: Path, network: nn.Module, **changes: Any) -> None:
    arguments = {"name": "example", "architecture": {"widths": [3, 4]}, "card": CARD, **changes}
    save_model_folder(folder, network=network, **arguments)


def test_everything_comes_back(tmp_path: Path, network: nn.Module) -> None:
    save(tmp_path / "deep" / "model", network, attachments={"images.txt": b"ab\n"})
    held = load_model_folder(tmp_path / "deep" / "model")
    assert (held.name, held.architecture, held.card) == ("example", {"widths": [3, 4]}, CARD)
    assert held.state.keys() == network.state_dict().keys()
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in held.state.items())
    assert (tmp_path / "deep" / "model" / "images.txt").read_bytes() == b"ab\n"


def test_nothing_is_left_beside_the_folder(tmp_path: Path, network: nn.Module) -> None:
    for _ in range(2):
        save(tmp_path / "model", network)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_layout_on_disk_is_the_documented_one(tmp_path: Path, network: nn.Module) -> None:
    save(tmp_path / "model", network)
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"config.json", "model.safetensors", "card.yaml"}
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert (config["format_version"], config["model"], config["architecture"]) == (1, "example", {"widths": [3, 4]})


def test_card_may_come_later(tmp_path: Path, network: nn.Module) -> None:
    save(tmp_path / "model", network, card=None)
    assert load_model_folder(tmp_path / "model").card is None
    CARD.save(tmp_path / "model" / "card.yaml")
    assert load_model_folder(tmp_path / "model").card == CARD


def test_an_empty_folder_may_be_there_already(tmp_path: Path, network: nn.Module) -> None:
    (tmp_path / "model").mkdir()
    save(tmp_path / "model", network)
    assert is_model_folder(tmp_path / "model")


def test_a_model_is_replaced_whole(tmp_path: Path, network: nn.Module) -> None:
    save(tmp_path / "model", network, attachments={"old.txt": b"old"})
    save(tmp_path / "model", nn.Linear(1, 1), name="newer", card=None)
    held = load_model_folder(tmp_path / "model")
    assert (held.name, held.card, set(held.state)) == ("newer", None, {"weight", "bias"})
    assert not (tmp_path / "model" / "old.txt").exists()


def test_other_content_is_never_replaced(tmp_path: Path, network: nn.Module) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ModelError, match="no model folder"):
        save(tmp_path, network)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_failed_save_leaves_the_old_model(tmp_path: Path, network: nn.Module) -> None:
    save(tmp_path / "model", network)
    with pytest.raises(TypeError):
        save(tmp_path / "model", network, architecture={"widths": object()})
    assert load_model_folder(tmp_path / "model").name == "example"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_wrapped_and_strided_weights_are_stored_plainly(tmp_path: Path) -> None:
    network = nn.Conv2d(8, 8, 3).to(memory_format=torch.channels_last)
    save(tmp_path / "model", nn.DataParallel(network))
    assert torch.equal(load_model_folder(tmp_path / "model").state["weight"], network.weight)


@pytest.mark.parametrize("position", [-1, 5, 400])
def test_a_flipped_bit_is_noticed(tmp_path: Path, network: nn.Module, position: int) -> None:
    save(tmp_path / "model", network)
    path = tmp_path / "model" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged"):
        load_model_folder(tmp_path / "model")


def test_truncated_weights_without_a_digest_are_noticed(tmp_path: Path, network: nn.Module) -> None:
    save(tmp_path / "model", network)
    config_path, path = tmp_path / "model" / "config.json", tmp_path / "model" / "model.safetensors"
    config = json.loads(config_path.read_text())
    del config["weights_sha256"]
    config_path.write_text(json.dumps(config))
    assert load_model_folder(tmp_path / "model").name == "example"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(WeightsError, match="cannot be read"):
        load_model_folder(tmp_path / "model")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not valid JSON"),
        ("[]", "format version"),
        ('{"format_version": 2, "model": "m", "architecture": {}}', "format version 2"),
        ('{"format_version": 1, "model": "m"}', "lacks"),
        ('{"_class_name": "AutoencoderKL"}', "holds AutoencoderKL of diffusers or transformers"),
        ('{"architectures": ["CLIPTextModel"]}', "holds CLIPTextModel of diffusers or transformers"),
    ],
)
def test_a_bad_configuration_is_explained(tmp_path: Path, network: nn.Module, content: Any, reason: str) -> None:
    save(tmp_path / "model", network)
    (tmp_path / "model" / "config.json").write_text(content)
    with pytest.raises(ModelError, match=reason):
        load_model_folder(tmp_path / "model")


def test_missing_parts_are_named(tmp_path: Path, network: nn.Module) -> None:
    with pytest.raises(ModelError, match=r"config\.json"):
        load_model_folder(tmp_path / "nowhere")
    save(tmp_path / "model", network)
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        load_model_folder(tmp_path / "model")
