from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rssr.errors import ConfigError, WeightsError
from rssr.metrics import weight_files
from rssr.metrics.perceptual import load_network
from tests.rssr.metrics.published_weights import write_pristine, write_weights


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    for name in ("lpips", "niqe"):
        write_weights(name, folder)
    return folder


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    for file in published.iterdir():
        (tmp_path / file.name).symlink_to(file)
    return tmp_path


def test_every_tensor_comes_from_the_files(folder: Path) -> None:
    state = load_network("lpips", folder).state_dict()
    backbone = torch.load(folder / weight_files.ALEXNET.name, weights_only=True)
    linear = torch.load(folder / weight_files.LPIPS_LINEAR.name, weights_only=True, map_location="cpu")
    for name, value in state.items():
        if name.startswith("net."):
            torch.testing.assert_close(value, backbone["features." + name.split(".", 2)[2]])
        elif name.startswith("lin") and not name.startswith("lins"):
            torch.testing.assert_close(value, linear[name])
    assert sum(name.startswith("net.") for name in state) == 10
    assert not any(parameter.requires_grad for parameter in load_network("lpips", folder).parameters())


def _cut_short(file: Path) -> None:
    data = file.read_bytes()
    file.unlink()
    file.write_bytes(data[: len(data) // 2])


def _fill_with_text(file: Path) -> None:
    file.unlink()
    file.write_text("<html>Not found</html>", encoding="utf-8")


def _drop_a_tensor(file: Path) -> None:
    state = torch.load(file, weights_only=True)
    del state["features.8.bias"]
    file.unlink()
    torch.save(state, file)


def _reshape_a_tensor(file: Path) -> None:
    state = torch.load(file, weights_only=True)
    state["features.8.bias"] = torch.zeros(3)
    file.unlink()
    torch.save(state, file)


@pytest.mark.parametrize("damage", [_cut_short, _fill_with_text, _drop_a_tensor, _reshape_a_tensor])
def test_a_file_that_does_not_serve_is_named_with_what_to_do(folder: Path, damage: Callable[[Path], None]) -> None:
    file = folder / weight_files.ALEXNET.name
    damage(file)
    with pytest.raises(WeightsError, match=r'Delete .*fetch_weights\(\["lpips"\]') as raised:
        load_network("lpips", folder)
    assert str(file) in raised.value.problem


class _Surprise:
    """What a file may do when it is unpickled as PyTorch did of old."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_code_in_a_file_is_not_run(folder: Path) -> None:
    file, trace = folder / weight_files.ALEXNET.name, folder / "was-run"
    file.unlink()
    torch.save({"features.0.weight": _Surprise(trace)}, file)
    with pytest.raises(WeightsError, match="more than tensors"):
        load_network("lpips", folder)
    assert not trace.exists()


@pytest.mark.parametrize("damage", [_cut_short, _fill_with_text])
def test_damaged_statistics_are_named_with_what_to_do(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / weight_files.NIQE_PRISTINE.name)
    with pytest.raises(WeightsError, match=r"statistics of NIQE.*fetch_weights\(\[.niqe.\]"):
        load_network("niqe", folder)


def test_statistics_of_another_measure_are_refused(tmp_path: Path) -> None:
    write_pristine(tmp_path, mean=1.0, num_features=20)
    with pytest.raises(WeightsError, match=r"mu_prisparam of \(20,\)"):
        load_network("niqe", tmp_path)
    write_pristine(tmp_path, mean=float("nan"))
    with pytest.raises(WeightsError, match="finite"):
        load_network("niqe", tmp_path)


def test_missing_files_are_told_with_the_folder_and_the_command(folder: Path) -> None:
    (folder / weight_files.LPIPS_LINEAR.name).unlink()
    with pytest.raises(WeightsError, match=rf"LPIPS_v0.1_alex\S* \(not in {folder}\).*fetch_weights"):
        load_network("lpips", folder)


def test_metrics_without_weights_have_no_network() -> None:
    with pytest.raises(ConfigError, match="psnr_y"):
        load_network("psnr_y")
