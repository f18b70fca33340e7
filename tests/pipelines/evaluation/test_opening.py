from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.evaluation.checks import named_datasets
from pipelines.evaluation.config import EvaluateConfig
from pipelines.evaluation.datasets import open_dataset
from pipelines.evaluation.methods import named_methods, open_method
from pipelines.evaluation.metrics import choose_metrics
from pipelines.evaluation.opening import OpenEvaluation, assemble, scales_of
from pipelines.evaluation.task import Place
from pipelines.storage import open_store
from rssr.errors import DataError
from rssr.images import encode_png
from tests.pipelines.evaluation.small import picture, save_student, write_images


def opened(tmp_path: Path, **values: Any) -> OpenEvaluation:
    config = EvaluateConfig.model_validate(
        {"degradation": "bicubic", "metrics": {"names": ["psnr_y"]}, "find_near_duplicates": False, **values}
    )
    home = open_store(str(tmp_path / "home"))
    methods = [open_method(method, scales_of(config), "") for method in named_methods(config)]
    datasets = [open_dataset(dataset, home, config.seed) for dataset in named_datasets(config)]
    return assemble(config, home, methods, datasets, choose_metrics(config))


def made_elsewhere(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        (folder / name).write_bytes(encode_png(picture(number)))
    return folder


def test_images_made_elsewhere_are_found_and_strangers_among_them_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hr = write_images(tmp_path / "hr", 3)
    sr = made_elsewhere(tmp_path / "sr", "image_00.png", "image_02.png", "stray.png", "another.png")
    evaluation = opened(tmp_path, datasets=[str(hr)], methods=["bicubic", {"name": "theirs", "images": str(sr)}])
    [dataset] = evaluation.task.datasets
    [*found] = dataset.made["theirs", 4.0]
    keys = [place.key if isinstance(place, Place) else place for place in found]
    assert [record.key for record in dataset.images] == [f"class{n % 2}/image_0{n}.png" for n in (0, 2, 1)]
    assert keys[:2] == ["image_00.png", "image_02.png"]
    assert keys[2] == f"No SR image of it can be taken from {sr}: there is no file of its name."
    [notice] = evaluation.notices
    assert notice == f"In {sr}, 2 images belong to none of hr: another.png, stray.png."
    assert notice in caplog.text


def test_images_of_several_datasets_and_scales_lie_in_folders_of_their_own(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_images(tmp_path / name, 1)
        for scale in (2, 4):
            made_elsewhere(tmp_path / f"sr/{name}/x{scale}", "image_00.png")
    datasets = [str(tmp_path / name) for name in ("one", "two")]
    theirs = {"name": "theirs", "images": str(tmp_path / "sr")}
    evaluation = opened(tmp_path, datasets=datasets, scales=[4, 2], methods=[theirs])
    assert [dataset.scales for dataset in evaluation.task.datasets] == [(2.0, 4.0)] * 2
    [place] = evaluation.task.datasets[1].made["theirs", 2.0]
    assert isinstance(place, Place)
    assert place.uri == str(tmp_path / "sr/two/x2")
    (tmp_path / "sr/two/x2/image_00.png").unlink()
    with pytest.raises(DataError, match=r"Method 'theirs': .*two/x2 holds no SR image of the 1 images of two"):
        opened(tmp_path, datasets=datasets, scales=[4, 2], methods=[theirs])


def test_pairs_are_measured_at_the_scales_they_have(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hr, lr = write_images(tmp_path / "hr", 2), write_images(tmp_path / "lr", 2, (16, 16))
    dataset = {"name": "pairs", "uri": str(hr), "lr_uri": str(lr)}
    evaluation = opened(tmp_path, datasets=[dataset], scales=[2, 4])
    assert evaluation.task.datasets[0].scales == (4.0,)
    assert "pairs do not have scale 2" in caplog.text
    with pytest.raises(DataError, match=r"its pairs have none of the scales 2, 3; .* 64x64 pixels, its LR image 16x16"):
        opened(tmp_path, datasets=[dataset], scales=[2, 3])


def test_models_go_to_the_output_only_for_a_cluster_of_other_machines(tmp_path: Path) -> None:
    model = str(save_student(tmp_path / "model"))
    hr = str(write_images(tmp_path / "hr", 1))
    for more in ({}, {"num_workers": 1}):
        [method] = opened(tmp_path, datasets=[hr], methods=[model], **more).task.methods
        assert method.fetch_uri == ""
    elsewhere = {"num_workers": 1, "ray": {"address": "10.0.0.1:6379"}}
    evaluation = opened(tmp_path, datasets=[hr], methods=[model], **elsewhere)
    [method] = evaluation.task.methods
    assert (Path(method.fetch_uri) / "model.safetensors").is_file()
    assert replace(method, fetch_uri="") == evaluation.methods[0].runnable


def test_what_figures_are_made_with_is_told(tmp_path: Path) -> None:
    software = opened(tmp_path, datasets=[str(write_images(tmp_path / "hr", 1))]).software()
    assert any(item.startswith("torch=2") for item in software)
