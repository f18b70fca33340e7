import argparse
import builtins
import functools
import os
import pickle
import random
import subprocess
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from rssr.errors import WeightsError
from rssr.weights.lightning import read_lightning

MODULE = "module_that_no_reader_has"


@pytest.fixture
def foreign_classes() -> Iterator[types.ModuleType]:
    """Classes as a training environment has them, and a reader has not."""
    module = types.ModuleType(MODULE)
    source = """
class ModelCheckpoint:
    def __init__(self): self.best_model_score = None
class DictConfig(dict):
    def __init__(self, content): self._content = content; self._metadata = object.__new__(ModelCheckpoint)
    def __reduce__(self):
        return DictConfig, (None,), {"_content": self._content}, iter([1]), iter(self._content.items())
class Slotted:
    __slots__ = ("value",)
class Kept(list): pass
"""
    exec(source, module.__dict__)
    for name in ("ModelCheckpoint", "DictConfig", "Slotted", "Kept"):
        getattr(module, name).__module__ = MODULE
    sys.modules[MODULE] = module
    yield module
    sys.modules.pop(MODULE, None)


def network_state() -> "OrderedDict[str, Tensor]":
    torch.manual_seed(1)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.BatchNorm2d(5))
    network[0].weight.data = network[0].weight.data.to(memory_format=torch.channels_last)  # strides of their own
    state = OrderedDict(network.state_dict())
    state._metadata = network.state_dict()._metadata  # type: ignore[attr-defined]  # as PyTorch keeps versions
    state["shared"], state["part"] = state["0.bias"], torch.arange(30.0).reshape(5, 6)[1:4, ::2]
    state["scalar"], state["nothing"] = torch.tensor(5.3), torch.empty(0, 4)
    state["half"], state["brain"] = torch.rand(4).half(), torch.rand(4).bfloat16()
    state["parameter"] = torch.nn.Parameter(torch.ones(2))
    return state


def lightning_content(classes: types.ModuleType | None = None) -> dict[str, Any]:
    state = network_state()
    content: dict[str, Any] = {
        "epoch": 779,
        "global_step": 123456,
        "pytorch-lightning_version": "1.9.0",
        "state_dict": state,
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 3}}}},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(3)}}, "param_groups": []}],
        "lr_schedulers": [],
    }
    if classes is not None:
        slotted = classes.Slotted()
        slotted.value = 3
        content["callbacks"] = {
            classes.ModelCheckpoint: {"best": torch.tensor(0.3)},
            "other": classes.ModelCheckpoint(),
        }
        content["hyper_parameters"] = {
            "config": classes.DictConfig({"lr": 1e-4, "inner": classes.DictConfig({"a": 1})}),
            "arguments": argparse.Namespace(gpus=[1, 2], path=Path("here"), names={"a", "b"}, kept=classes.Kept([1])),
            "slotted": slotted,
            "loss": functools.partial(print, "x"),
        }
    return content


def saved(folder: Path, content: Any, **options: Any) -> Path:
    torch.save(content, folder / "last.ckpt", **options)
    return folder / "last.ckpt"


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert (found[name].shape, found[name].dtype) == (value.shape, value.dtype)
        assert torch.equal(found[name], value), name


def test_plain_lightning_files_are_read(tmp_path: Path) -> None:
    read = read_lightning(saved(tmp_path, lightning_content()))
    assert_same(read.state, network_state())
    assert (read.epoch, read.global_step, read.replaced) == (779, 123456, ())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_objects_of_unknown_classes_are_passed_over(
    foreign_classes: types.ModuleType, protocol: int, tmp_path: Path
) -> None:
    file = saved(tmp_path, lightning_content(foreign_classes), pickle_protocol=protocol)
    del sys.modules[MODULE]
    with pytest.raises(pickle.UnpicklingError):
        torch.load(file, weights_only=True)
    read = read_lightning(file)
    assert_same(read.state, network_state())
    assert (read.epoch, read.global_step) == (779, 123456)
    assert {f"{MODULE}.DictConfig", f"{MODULE}.ModelCheckpoint"} <= set(read.replaced)
    assert MODULE not in sys.modules


def test_a_prefix_of_all_names_is_taken_off(foreign_classes: types.ModuleType, tmp_path: Path) -> None:
    content = {
        "state_dict": {f"module.{name}": value for name, value in network_state().items()},
        "callbacks": foreign_classes.ModelCheckpoint(),
    }
    assert_same(read_lightning(saved(tmp_path, content)).state, network_state())


def test_a_bare_state_and_safetensors_are_read(tmp_path: Path) -> None:
    state = {"a": torch.ones(2), "b.c": torch.zeros(1, 3)}
    assert_same(read_lightning(saved(tmp_path, state)).state, state)
    save_file(state, tmp_path / "w.safetensors")
    assert_same(read_lightning(tmp_path / "w.safetensors").state, state)


class Calls:
    """Pickled as a call of any function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, state: Any = None) -> None:
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.parts


class Holder:
    """Pickled as an object with state."""


MALICE: dict[str, Callable[[str], Any]] = {
    "system": lambda mark: Calls(os.system, f"touch {mark}"),
    "exec": lambda mark: Calls(builtins.exec, f"open({mark!r}, 'w')"),
    "eval": lambda mark: Calls(builtins.eval, f"open({mark!r}, 'w')"),
    "getattr": lambda mark: Calls(builtins.getattr, Calls(__import__, "os"), "system"),
    "popen": lambda mark: Calls(subprocess.Popen, ["touch", mark]),
    "partial": lambda mark: Calls(functools.partial(os.mkdir, mark)),
    "state": lambda mark: Calls(Holder, state={"__setstate__": Calls(os.mkdir, mark), "x": Calls(os.mkdir, mark)}),
    "torch.load": lambda mark: Calls(torch.load, Calls(os.mkdir, mark)),
    "tensor function": lambda mark: Calls(torch.save, torch.ones(1), mark),
    "map": lambda mark: Calls(list, Calls(map, os.mkdir, [mark])),
}


@pytest.mark.parametrize("malice", MALICE)
@pytest.mark.parametrize("place", ["hyper_parameters", "callbacks", "key", "optimizer_states"])
def test_a_malicious_object_beside_the_tensors_does_nothing(malice: str, place: str, tmp_path: Path) -> None:
    mark = tmp_path / "owned"
    content = lightning_content()
    evil = MALICE[malice](str(mark))
    content[place] = {evil: 1} if place == "key" else {"deep": [{"deeper": (evil, [evil])}]}
    file = saved(tmp_path, content)
    assert not mark.exists()
    read = read_lightning(file)
    assert_same(read.state, network_state())
    assert read.replaced
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_the_malicious_files_are_malicious(tmp_path: Path) -> None:
    """Otherwise the tests above would show nothing: an ordinary reader runs what is in them."""
    names = ("system", "exec", "popen", "map", "partial", "state")
    for name in names:
        stream = pickle.dumps({"callbacks": MALICE[name](str(tmp_path / name))}, protocol=2)
        (tmp_path / f"{name}.pkl").write_bytes(stream)
    code = """
import contextlib, pathlib, pickle, sys, tests.rssr.weights.test_lightning
for file in pathlib.Path(sys.argv[1]).glob("*.pkl"):
    with contextlib.suppress(Exception):
        pickle.loads(file.read_bytes())
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parents[3], check=True)
    assert [name for name in names if not (tmp_path / name).exists()] == []


@pytest.mark.parametrize("malice", MALICE)
def test_a_malicious_object_among_the_tensors_is_an_error(malice: str, tmp_path: Path) -> None:
    mark = tmp_path / "owned"
    content = lightning_content()
    content["state_dict"]["evil"] = MALICE[malice](str(mark))
    with pytest.raises(WeightsError, match=r"no tensors: evil"):
        read_lightning(saved(tmp_path, content))
    assert not mark.exists()


def test_the_format_before_1_6_is_refused_and_not_run(tmp_path: Path) -> None:
    for content in (lightning_content(), {"a": Calls(os.mkdir, str(tmp_path / "owned"))}):
        with pytest.raises(WeightsError, match=r"no archive as PyTorch writes since 1\.6"):
            read_lightning(saved(tmp_path, content, _use_new_zipfile_serialization=False))
    assert not (tmp_path / "owned").exists()


def rewritten(file: Path, change: Callable[[str, bytes], tuple[str, bytes]], compression: int) -> None:
    with zipfile.ZipFile(file) as archive:
        parts = [change(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in parts:
            archive.writestr(name, data)


@pytest.mark.parametrize(
    ("change", "compression", "expected"),
    [
        (lambda name, data: (name, data), zipfile.ZIP_DEFLATED, "is compressed"),
        (lambda name, data: (name, b"big" if name.endswith("byteorder") else data), zipfile.ZIP_STORED, "big-endian"),
        (lambda name, data: (name.replace("data.pkl", "x.pkl"), data), zipfile.ZIP_STORED, "not laid out"),
        (lambda name, data: (name, data[:-1] if "/data/" in name else data), zipfile.ZIP_STORED, "bytes, not"),
    ],
)
def test_an_archive_that_pytorch_did_not_write_is_refused(
    foreign_classes: types.ModuleType,
    change: Callable[[str, bytes], tuple[str, bytes]],
    compression: int,
    expected: str,
    tmp_path: Path,
) -> None:
    file = saved(tmp_path, lightning_content(foreign_classes))
    rewritten(file, change, compression)
    with pytest.raises(WeightsError, match=expected):
        read_lightning(file)


def test_garbled_files_are_refused_or_read_but_never_crash(foreign_classes: types.ModuleType, tmp_path: Path) -> None:
    file = saved(tmp_path, lightning_content(foreign_classes))
    del sys.modules[MODULE]
    whole, draw, refused = file.read_bytes(), random.Random(2), 0
    start = whole.index(b"\x80\x02}")
    for _ in range(150):
        garbled = bytearray(whole)
        for _ in range(draw.choice([1, 5, 40])):
            garbled[draw.choice([draw.randrange(len(whole)), start + draw.randrange(3000)])] = draw.randrange(256)
        file.write_bytes(garbled)
        try:
            read_lightning(file)
        except WeightsError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 cut off"])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(WeightsError, match=r"last\.ckpt"):
        read_lightning(tmp_path / "last.ckpt")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nowhere"):
        read_lightning(tmp_path / "nowhere.ckpt")
