import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.agreement import agreement_db, lr_images
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.weights.folder import save_model_folder

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images" / "class"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number, size in enumerate([(96, 100), (81, 72)]):
        Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    (folder / "notes.txt").write_text("no image")
    return folder.parent


def test_agreement_is_psnr_of_8_bits() -> None:
    one = np.full((4, 4, 3), 100, dtype=np.uint8)
    assert agreement_db(one, one) == math.inf
    assert agreement_db(one, one + 1) == pytest.approx(20 * math.log10(255))


def test_images_are_reduced_and_other_files_passed_over(images: Path) -> None:
    assert [lr.shape for lr in lr_images(images, 4, 9)] == [(24, 25, 3), (20, 18, 3)]
    assert len(list(lr_images(images, 4, 1))) == 1


def test_a_models_agreement_is_printed(images: Path, tmp_path: Path) -> None:
    student = SlimDiffSR(
        block_channels=(8, 8), mid_channels=8, taesd_channels=8, norm_num_groups=1, num_queries=2, query_channels=4
    )
    save_model_folder(tmp_path / "model", "slimdiffsr", student.architecture, student, None)
    command = [sys.executable, "benchmarks/agreement.py", str(tmp_path / "model"), str(images)]
    out = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "2 images, at least" in out
