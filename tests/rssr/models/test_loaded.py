import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import rssr
from rssr.card import ModelCard
from rssr.errors import ModelError, WeightsError
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.models.loaded import SOURCES_GROUP, find_model_folder
from rssr.models.registry import create_model
from rssr.weights.folder import save_model_folder
from tests.rssr.weights.published_latent import save_lightning


@pytest.fixture
def student(tiny_architecture: dict[str, Any]) -> SlimDiffSR:
    return create_model("slimdiffsr", **tiny_architecture)


@pytest.fixture
def folder(student: SlimDiffSR, tmp_path: Path) -> Path:
    save_model_folder(tmp_path / "student", "slimdiffsr", student.architecture, student, None)
    return tmp_path / "student"


def test_loaded_model_is_the_saved_one(folder: Path, student: SlimDiffSR, generator: torch.Generator) -> None:
    loaded = rssr.load_model(folder)
    x = torch.randn(1, 3, 32, 32, generator=generator)
    with torch.no_grad():
        assert torch.equal(loaded.network(x), student(x))
    assert (loaded.name, loaded.architecture, loaded.card) == ("slimdiffsr", student.architecture, None)
    assert not loaded.network.training


def test_loading_leaves_the_global_generator_alone(folder: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    rssr.load_model(str(folder))
    assert torch.equal(torch.rand(4), expected)


def test_bicubic_needs_no_folder() -> None:
    loaded = rssr.load_model("bicubic")
    assert loaded.network is None
    assert loaded.resolver(torch.zeros(1, 3, 2, 3), (7, 5)).shape == (1, 3, 7, 5)


def test_names_are_looked_up_in_the_models_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSSR_MODELS", str(folder.parent))
    with pytest.raises(ModelError, match="no weights here"):
        rssr.load_model("slimdiffsr")
    folder.rename(folder.parent / "slimdiffsr")
    assert rssr.load_model("slimdiffsr").name == "slimdiffsr"


def test_unknown_source_lists_what_there_is() -> None:
    with pytest.raises(ModelError, match=r"no model 'nothing-there'.*bicubic"):
        rssr.load_model("nothing-there")


def test_file_uri_is_a_path(folder: Path) -> None:
    assert rssr.load_model(f"file://{folder}").name == "slimdiffsr"


def test_other_schemes_go_through_entry_points(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = tmp_path / "plugin"
    facts = plugin / "shelf_of_models-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf-of-models\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[{SOURCES_GROUP}]\nshelf = shelf_of_models:fetch\n")
    (plugin / "shelf_of_models.py").write_text(
        "from pathlib import Path\n"
        f"def fetch(uri):\n    assert uri == 'shelf:/top/left'\n    return Path({str(folder)!r})\n"
    )
    monkeypatch.syspath_prepend(str(plugin))
    assert rssr.load_model("shelf:/top/left").name == "slimdiffsr"
    sys.modules.pop("shelf_of_models")


def test_unknown_scheme_lists_the_known() -> None:
    with pytest.raises(ModelError, match=r"'gopher:'.*file"):
        rssr.load_model("gopher://there/model")


def test_weights_of_other_widths_are_refused(student: SlimDiffSR, tmp_path: Path) -> None:
    values = {**student.architecture, "mid_channels": 64}
    save_model_folder(tmp_path / "student", "slimdiffsr", values, student, None)
    with pytest.raises(WeightsError, match="mis-shaped"):
        rssr.load_model(tmp_path / "student")


STUDENT_TENSOR = "unet.mid_block.mid_block.norm1.weight"
FOREIGN = {
    "LDCSR's or LCMSR's second stage": "first_stage_model.decoder.FRUList.0.weight",
    "TAESD": "decoder.layers.0.weight",
}


@pytest.mark.parametrize(("title", "tensor"), FOREIGN.items())
def test_weights_of_another_method_are_called_by_name(
    student: SlimDiffSR, tmp_path: Path, title: str, tensor: str
) -> None:
    network = torch.nn.Module()
    network.state_dict = lambda: {tensor: torch.zeros(3)}  # type: ignore[method-assign,assignment,misc]
    save_model_folder(tmp_path / "m", "slimdiffsr", student.architecture, network, None)
    with pytest.raises(WeightsError, match=rf"not those of slimdiffsr: by their names they are {title}"):
        rssr.load_model(tmp_path / "m")


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize(("title", "tensor"), [*FOREIGN.items(), ("SlimDiffSR's student", STUDENT_TENSOR)])
def test_a_checkpoint_file_is_no_model_folder_but_is_recognised(
    tmp_path: Path, title: str, tensor: str, ending: str
) -> None:
    path = tmp_path / f"net{ending}"
    state = {tensor: torch.zeros(3)}
    if ending == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    with pytest.raises(ModelError, match=rf"is a file.*{title}.*rssr weights import"):
        rssr.load_model(path)


def test_a_model_of_an_unknown_method_is_named(tmp_path: Path) -> None:
    card = ModelCard(name="l", method="ldcsr", bands=["red"], scale_range=(1, 8), licence="CC0")
    save_model_folder(tmp_path / "m", "ldcsr-next", {}, torch.nn.Conv2d(1, 1, 1), card)
    with pytest.raises(ModelError, match="model 'ldcsr-next' of the method ldcsr, which this version"):
        rssr.load_model(tmp_path / "m")


def test_a_card_of_another_method_is_noticed(student: SlimDiffSR, tmp_path: Path) -> None:
    card = ModelCard(name="l", method="ldcsr", bands=["red", "green", "blue"], scale_range=(1, 8), licence="CC0")
    save_model_folder(tmp_path / "m", "slimdiffsr", student.architecture, student, card)
    with pytest.raises(ModelError, match="names the model slimdiffsr, its card the method ldcsr"):
        rssr.load_model(tmp_path / "m")


def test_old_folders_without_a_head_still_load(student: SlimDiffSR, tmp_path: Path) -> None:
    architecture = {name: value for name, value in student.architecture.items() if name != "deviation_channels"}
    save_model_folder(tmp_path / "m", "slimdiffsr", architecture, student, None)
    loaded = rssr.load_model(tmp_path / "m")
    assert isinstance(loaded.network, SlimDiffSR)
    assert loaded.network.deviation_head is None


def test_a_head_travels_in_the_model_folder(student: SlimDiffSR, tmp_path: Path, generator: torch.Generator) -> None:
    student.attach_deviation_head(6)
    assert student.deviation_head is not None
    torch.nn.init.normal_(student.deviation_head.out.weight)
    save_model_folder(tmp_path / "m", "slimdiffsr", student.architecture, student, None)
    loaded = rssr.load_model(tmp_path / "m").network
    assert isinstance(loaded, SlimDiffSR)
    x = torch.randn(1, 3, 32, 32, generator=generator)
    with torch.no_grad():
        assert torch.equal(loaded.forward_with_deviation(x)[1], student.forward_with_deviation(x)[1])
        assert torch.equal(loaded(x), student(x))


def test_a_lightning_file_is_recognised_although_it_holds_objects(tmp_path: Path) -> None:
    file = save_lightning(tmp_path / "last.ckpt", {"decoder.style.weight": torch.ones(1)})
    with pytest.raises(ModelError, match=r"holds the first stage of LDCSR.*weights import --format FORMAT .*lcmsr"):
        find_model_folder(file)


def test_a_model_without_weights_names_the_format_to_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RSSR_MODELS", str(tmp_path / "models"))
    with pytest.raises(ModelError, match="--format ldcsr FILE"):
        find_model_folder("ldcsr")
