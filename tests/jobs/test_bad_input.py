"""Input that cannot be used is told in one paragraph and status 2, before anything is trained."""

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image

from jobs import slimdiffsr
from tests.conftest import S3Server, free_port
from tests.jobs.running import TINY, Finished, paragraph, run_job

Job = Callable[..., Finished]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data.uri=/no/such/folder", "/no/such/folder does not exist"),
        ("data.uri={bad}/empty", "empty is empty"),
        ("data.uri={bad}/texts", "is an image by its name"),
        ("data.uri={bad}/mostly_corrupt", "4 of 8 images"),
        ("data.uri={bad}/below_patch", "holds a patch of 64 pixels"),
        ("data.uri={bad}/far_too_small", "0.png measures 20x20 pixels"),
        ("data.uri=s3://key:planted-secret@bucket/images", "carries credentials"),
        ("student.nun_steps=3", "'student.nun_steps' is not a key (did you mean 'student.num_steps'?)"),
        ("student.num_steps=many", "'student.num_steps' is refused"),
        ("student.patch_size=128", "holds a patch of 128 pixels"),
        ("phases=[nonsense]", "Unknown phase 'nonsense'"),
        ("phases=[student]", "builds on phase base"),
        ("base_weights={{stable_diffusion: /no/weights, taesd: /no/taesd}}", "hf download"),
        ("base_weights.stable_diffusion={bad}/empty", "base_weights.taesd"),
        ("teacher.reconstruction.lpips_weight=2.5", "vgg16.safetensors"),
        ("student.reconstruction.gan_weight=0.1", "dino_vits16.safetensors"),
        ("product.scene=/no/scene.tif", "There is no scene /no/scene.tif"),
        ("product.scene={bad}/texts/notes.txt", "is not a picture"),
        ("product.scene={bad}/deep.tif", "uint16"),
        ("product.scene={bad}/one_band.tif", "takes 3 bands (red, green, blue)"),
        ("product.tile_scene=/no/scene.tif", "Correct product.tile_scene"),
        ("product.tile_scene={bad}/one_band.tif", "takes 3 bands (red, green, blue)"),
        ("output.uri=/proc/nothing", "/proc/nothing"),
        ("output.uri={bad}/texts/notes.txt", "notes.txt"),
        ("mlflow.tracking_uri=nonsense", "mlflow.tracking_uri"),
        ("mlflow.tracking_uri=http://user:planted-secret@127.0.0.1:9", "127.0.0.1:9 does not answer"),
        ("num_workers=1000", "needs 1000 CPU cores"),
    ],
)
def test_bad_input_is_one_paragraph(job: Job, bad: Path, tmp_path: Path, override: str, expected: str) -> None:
    result = job(f"output.uri={tmp_path}", override.format(bad=bad))
    message = paragraph(result)
    assert expected in message
    assert "planted-secret" not in result.out + result.err
    assert {path.name for path in tmp_path.iterdir()} <= {"manifests", "mlflow.db"}


@pytest.mark.parametrize("override", ["student.nun_steps=3", "data.uri=/no/such/folder"])
def test_the_process_exits_with_status_2(tmp_path: Path, override: str) -> None:
    paragraph(run_job(f"output.uri={tmp_path}", override))


def test_debug_shows_the_traceback_and_the_same_paragraph(job: Job, tmp_path: Path) -> None:
    result = job(f"output.uri={tmp_path}", "data.uri=/no/such/folder", "--debug")
    assert result.status == 2
    assert "Traceback" in result.err
    assert result.err.splitlines()[-1].startswith("Error: ")


def test_an_unreachable_object_store_is_named(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    for name, value in (("ENDPOINT_URL", endpoint), ("ACCESS_KEY_ID", "me"), ("SECRET_ACCESS_KEY", "planted-secret")):
        monkeypatch.setenv(f"AWS_{name}", value)
    result = job(f"output.uri={tmp_path}", "data.uri=s3://bucket/images")
    assert endpoint in paragraph(result)
    assert "planted-secret" not in result.err


@pytest.mark.parametrize("key", ["data.uri", "output.uri", "product.scene"])
def test_an_unknown_bucket_is_named(
    job: Job, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    s3_server.use(monkeypatch)
    assert "s3://no-such-bucket" in paragraph(job(f"output.uri={tmp_path}", f"{key}=s3://no-such-bucket/scene.tif"))


@pytest.mark.parametrize("key", ["data.uri", "output.uri"])
def test_a_bucket_without_permission_is_named(
    job: Job, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    bucket = s3_server.make_bucket()
    s3_server.use(monkeypatch)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    result = job(f"output.uri={tmp_path}", f"{key}={bucket}/aerial images")
    assert f"refuses access to {bucket}/aerial images" in paragraph(result)
    assert "planted-secret" not in result.out + result.err


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], bad: Path) -> Iterator[Job]:
    """The smallest job as if typed, on a few good images; in this process, which saves starting one for each case."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*arguments: str) -> Finished:
        few = ("num_workers=0", f"data.uri={bad}/good", "data.num_test=2")
        monkeypatch.setattr(sys, "argv", ["jobs/slimdiffsr.py", str(TINY), *few, *arguments])
        status = slimdiffsr.main()
        return Finished(status, *capfd.readouterr())

    yield run
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders and scenes that cannot be used, and one folder that can."""
    root = tmp_path_factory.mktemp("bad")
    for name in ("empty", "texts", "good", "mostly_corrupt", "below_patch", "far_too_small"):
        (root / name).mkdir()
    (root / "texts" / "notes.txt").write_text("no picture")
    for number in range(8):
        Image.fromarray(noise(number, 64)).save(root / "good" / f"{number}.png")
        Image.fromarray(noise(number, 48)).save(root / "below_patch" / f"{number}.png")
        Image.fromarray(noise(number, 20)).save(root / "far_too_small" / f"{number}.png")
    for number in range(4):
        Image.fromarray(noise(number, 64)).save(root / "mostly_corrupt" / f"good{number}.png")
        broken = b"" if number % 2 else b"\x89PNG\r\n\x1a\nbroken"
        (root / "mostly_corrupt" / f"bad{number}.png").write_bytes(broken)
    write_scene(root / "deep.tif", np.ones((3, 40, 40), np.uint16))
    write_scene(root / "one_band.tif", np.ones((1, 40, 40), np.uint8))
    return root


def noise(seed: int, side: int) -> NDArray[np.uint8]:
    """A picture that is no other one's duplicate."""
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def write_scene(path: Path, pixels: "NDArray[np.uint8] | NDArray[np.uint16]") -> None:
    """A GeoTIFF on the ground."""
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": count, "dtype": pixels.dtype}
    transform = rasterio.transform.from_origin(500000, 5000000, 10, 10)
    with rasterio.open(path, "w", **profile, crs="EPSG:32633", transform=transform) as file:
        file.write(pixels)
