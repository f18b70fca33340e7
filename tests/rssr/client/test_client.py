import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rssr.client import Client, ServiceError
from rssr.errors import DataError
from rssr.images import encode_png
from tests.rssr.client.scripted import Reply, Scripted

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
HEADERS = {
    "Content-Type": "image/png",
    "Content-Disposition": 'inline; filename="sr.png"',
    "X-Rssr-Model": "bicubic",
    "X-Rssr-Model-Version": "bicubic",
    "X-Rssr-Seam-Score": "1.02",
    "X-Request-Id": "r1",
    "Server-Timing": "model;dur=12.5, queue;dur=0.5",
}
IMAGE = Reply(200, content=encode_png(PIXELS), headers=HEADERS)


def test_an_image_comes_back_with_what_is_told_of_it(service: Scripted, tmp_path: Path) -> None:
    service.replies = [IMAGE]
    result = Client(service.url).super_resolve(b"image", model="bicubic", scale=4, format="png", seed=3)
    (asked,) = service.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/v1/super-resolve", b"image")
    assert asked.params == {"model": "bicubic", "scale": "4", "format": "png", "seed": "3"}
    assert (result.media_type, result.file_name, result.model_version) == ("image/png", "sr.png", "bicubic")
    assert (result.seam_score, result.request_id) == (1.02, "r1")
    assert result.timings_s == {"model": 0.0125, "queue": 0.0005}
    assert np.array_equal(result.to_array(), PIXELS)
    result.save(tmp_path / "new" / "sr.png")
    assert (tmp_path / "new" / "sr.png").read_bytes() == IMAGE.content


def test_files_pixels_and_pictures_can_be_sent(service: Scripted, tmp_path: Path) -> None:
    (tmp_path / "town.tif").write_bytes(b"bytes of a file")
    service.replies = [IMAGE] * 4
    client = Client(service.url)
    client.super_resolve(str(tmp_path / "town.tif"))
    client.super_resolve(tmp_path / "town.tif")
    client.super_resolve(PIXELS)
    client.super_resolve(Image.fromarray(PIXELS))
    assert [asked.body for asked in service.asked[:2]] == [b"bytes of a file"] * 2
    for asked in service.asked[2:]:
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(asked.body))), PIXELS)


def test_a_file_is_sent_whole_again_after_a_failure(service: Scripted, tmp_path: Path) -> None:
    (tmp_path / "town.tif").write_bytes(b"x" * 300_000)
    service.replies = [Reply(503, headers={"Retry-After": "0"}), IMAGE]
    Client(service.url).super_resolve(tmp_path / "town.tif")
    assert [len(asked.body) for asked in service.asked] == [300_000] * 2


def test_a_file_that_is_not_there_is_not_asked_for(service: Scripted, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file"):
        Client(service.url).super_resolve(tmp_path / "town.tif")
    assert service.asked == []


def test_uncertainty_comes_with_its_image(service: Scripted) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as members:
        members.writestr("sr.png", IMAGE.content)
        members.writestr("uncertainty.tif", b"layer")
        members.writestr("uncertainty.png", b"picture")
        members.writestr("about.json", '{"unit": "grey levels", "low": 0.5, "high": 3}')
    service.replies = [Reply(200, content=packed.getvalue(), headers={**HEADERS, "Content-Type": "application/zip"})]
    result = Client(service.url).super_resolve(b"image", uncertainty=True)
    assert service.asked[0].params == {"uncertainty": "true"}
    assert (result.content, result.media_type, result.file_name) == (IMAGE.content, "image/png", "sr.png")
    assert result.uncertainty is not None
    assert result.uncertainty.content == b"layer" and result.uncertainty.picture == b"picture"
    assert result.uncertainty.about["unit"] == "grey levels"


def test_an_answer_without_the_uncertainty_that_was_asked_for_is_an_error(service: Scripted) -> None:
    service.replies = [Reply(200, content=b"no zip", headers={"Content-Type": "application/zip"})]
    with pytest.raises(ServiceError, match="image and uncertainty"):
        Client(service.url).super_resolve(b"image", uncertainty=True)


def test_models_are_told(service: Scripted) -> None:
    told = {"name": "ldcsr", "is_default": True, "version": "models:/ldcsr/3", "state": "ready", "bands": ["red"]}
    told |= {"scales": [1, 8], "gives_uncertainty": True, "licence": None}
    service.replies = [Reply(200, {"models": [told, {"name": "bicubic", "scales": None}]})]
    ldcsr, bicubic = Client(service.url).models()
    assert (ldcsr.name, ldcsr.is_default, ldcsr.version, ldcsr.state) == ("ldcsr", True, "models:/ldcsr/3", "ready")
    assert (ldcsr.bands, ldcsr.scales, ldcsr.gives_uncertainty) == (("red",), (1.0, 8.0), True)
    assert (bicubic.scales, bicubic.is_default) == (None, False)


def test_readiness_is_asked_once(service: Scripted) -> None:
    service.replies = [Reply(503, headers={"Retry-After": "0"}), Reply(200)]
    client = Client(service.url)
    assert [client.is_ready(), client.is_ready()] == [False, True]
