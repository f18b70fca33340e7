"""What is fetched from where; the internet alone is replaced."""

import shlex
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlparse

import pyiqa.archs.clip_model
import pyiqa.utils.download_util
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from rssr.metrics import METRICS
from rssr.metrics.perceptual.fetching import address_of, fetch_weights
from rssr.metrics.weight_files import CLIP_RN50, WEIGHT_FILES, find_missing

FETCHED_AS_THEY_ARE = [name for name in WEIGHT_FILES if name != CLIP_RN50.name]


@pytest.mark.parametrize("file", FETCHED_AS_THEY_ARE)
def test_files_have_the_names_under_which_they_are_published(file: str) -> None:
    assert PurePosixPath(urlparse(address_of(file)).path).name == file


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that were asked for; what lies there is the address itself."""
    asked: list[str] = []

    def download(url: str, path: str, *_: Any, **__: Any) -> None:
        asked.append(url)
        Path(path).write_text(url, encoding="utf-8")

    monkeypatch.setattr(pyiqa.utils.download_util, "download_url_to_file", download)
    return asked


def test_the_commands_that_are_told_fetch_what_is_missing(tmp_path: Path, fetched: list[str]) -> None:
    folder = tmp_path / "it's new"
    names = [name for name in METRICS if name != "clipiqa"]
    for missing in find_missing(names, folder).values():
        program, option, code = shlex.split(missing.command)
        assert (program, option) == ("python", "-c")
        exec(code, {})
    assert find_missing(names, folder) == {}
    assert sorted(fetched) == sorted(map(address_of, FETCHED_AS_THEY_ARE))


def test_what_is_there_is_not_fetched_again(tmp_path: Path, fetched: list[str]) -> None:
    for name in METRICS["lpips"].weights:
        (tmp_path / name).write_bytes(b"mine")
    fetch_weights(["lpips", "psnr_y"], tmp_path)
    assert fetched == []
    assert (tmp_path / METRICS["lpips"].weights[0]).read_bytes() == b"mine"


def test_of_clip_only_the_tensors_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = pyiqa.archs.clip_model.CLIP(8, 32, (1, 1, 1, 1), 64, None, 5, 11, 64, 1, 1)
    state = {name: value.half().float() for name, value in network.state_dict().items()}  # as published
    published = tmp_path / "RN50.pt"
    torch.jit.script(_tree(state)).save(published)
    monkeypatch.setattr(pyiqa.archs.clip_model, "_download", lambda *_: str(published))
    fetch_weights(["clipiqa"], tmp_path / "weights")
    kept = load_file(tmp_path / "weights" / CLIP_RN50.name)
    assert kept.keys() == state.keys()
    for name, value in kept.items():
        torch.testing.assert_close(value, state[name].to(value.dtype))


def _tree(state: dict[str, Tensor]) -> nn.Module:
    """A module that is nothing but its tensors."""
    root = nn.Module()
    for name, value in state.items():
        *parents, last = name.split(".")
        module = root
        for parent in parents:
            if not hasattr(module, parent):
                module.add_module(parent, nn.Module())
            module = module.get_submodule(parent)
        module.register_buffer(last, value)
    return root
