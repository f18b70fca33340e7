import hashlib

import numpy as np
import pytest
import torch

from pipelines.calibration import CalibrationSpec, calibration_pairs
from pipelines.datasets.manifest import ImageRecord, Manifest
from pipelines.evaluation.comparison import EvaluationSpec, prepare_pair
from pipelines.loop.batches import to_batch
from rssr.degradation import degradation_preset
from rssr.images import encode_png
from rssr.scenes import generate_scene

DEGRADATION = degradation_preset("slimdiffsr")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Eight images held out, of which some are too small to be measured."""
    folder, records = tmp_path_factory.mktemp("images"), []
    for number in range(8):
        side = 70 + number if number % 4 else 14
        data = encode_png(generate_scene(number, side, side))
        (folder / f"{number}.png").write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        records.append(ImageRecord(f"{number}.png", 0, "test", None, side, side, len(data), digest))
    return Manifest((str(folder),), tuple(records))


def test_images_are_those_of_the_evaluation_of_one_half_at_every_scale(manifest: Manifest) -> None:
    spec = CalibrationSpec((2.0, 3.4), max_side=64, border=4, num_images=None)
    pairs = list(calibration_pairs(manifest, DEGRADATION, 7, spec))
    fit = [record for record in manifest.half_of_test_images("fit") if record.side > 14]
    assert [pair.scale for pair in pairs] == [2.0] * len(fit) + [3.4] * len(fit)
    for pair, record in zip(pairs[len(fit) :], fit, strict=True):
        pixels = generate_scene(int(record.key[0]), record.height, record.width)
        shown = prepare_pair(record.key, pixels, EvaluationSpec(3.4, DEGRADATION, 7, 64, 4))
        expected = to_batch({"lr": shown.lr[None], "hr": shown.hr[None], "scale": 3.4}, torch.device("cpu"))
        assert torch.equal(pair.lr, expected.lr)
        assert torch.equal(pair.hr, expected.hr)


def test_no_more_images_are_taken_than_the_evaluation_takes(manifest: Manifest) -> None:
    found = [
        len(list(calibration_pairs(manifest, DEGRADATION, 0, CalibrationSpec((2.0,), 32, 4, num_images))))
        for num_images in (1, 2, 3, None)
    ]
    assert found == sorted(found)
    assert found[0] <= 1
    assert np.diff(found).max() <= 1
