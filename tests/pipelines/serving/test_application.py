"""The service as callers meet it: real HTTP, real Ray Serve."""

import io
import json
import zipfile
from pathlib import Path

import pytest

from pipelines.serving.application import build
from pipelines.serving.deploy import run_serve
from pipelines.serving.listening import listening_address
from pipelines.serving.security.keys import KEYS_VARIABLE
from rssr.cli import main
from rssr.errors import ConfigError
from rssr.service_keys import key_line, new_key
from tests.conftest import free_port
from tests.pipelines.bulk.imagery import png
from tests.pipelines.serving.conftest import Serving
from tests.pipelines.serving.images import of_every_kind

IMAGES = of_every_kind()
PATH = "/v1/super-resolve"
BOUNDARY = "some-boundary"


def form(image: bytes, **fields: str) -> bytes:
    """A form's body."""
    parts = [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields.items()]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="i.png"\r\n\r\n'
    return "".join(parts).encode() + head.encode() + image + f"\r\n--{BOUNDARY}--\r\n".encode()


def by_command(folder: Path, name: str, model: str, *arguments: str) -> bytes:
    """What `rssr sr` makes of an image."""
    source, target = folder / name, folder / f"out-{name}"
    source.write_bytes(IMAGES[name])
    assert main(["sr", str(source), str(target), "--model", model, *arguments]) == 0
    return target.read_bytes()


@pytest.mark.parametrize(("name", "media_type"), [("picture.png", "image/png"), ("deep.tif", "image/tiff")])
def test_an_image_comes_back_as_the_command_writes_it(
    serving: Serving, name: str, media_type: str, tmp_path: Path
) -> None:
    answer = serving.live.ask("POST", PATH, IMAGES[name])
    assert (answer.status, answer.headers["content-type"]) == (200, media_type)
    assert answer.body == by_command(tmp_path, name, "bicubic")
    assert answer.headers["x-rssr-model"] == "bicubic"
    assert answer.headers["x-rssr-model-version"] == "bicubic"
    assert float(answer.headers["x-rssr-seam-score"]) >= 1
    assert "model;dur=" in answer.headers["server-timing"]
    assert answer.headers["content-disposition"] == f'inline; filename="sr{Path(name).suffix}"'


def test_a_form_brings_image_and_parameters(serving: Serving, tmp_path: Path) -> None:
    body = form(IMAGES["picture.png"], model="ldcsr-small", seed="5", scale="2")
    answer = serving.live.ask("POST", PATH, body, content_type=f"multipart/form-data; boundary={BOUNDARY}")
    wanted = by_command(tmp_path, "picture.png", str(serving.sampler), "--seed", "5", "--scale", "2")
    assert answer.body == wanted
    assert answer.headers["x-rssr-model-version"].startswith("ldcsr-small@")


def test_an_uncertainty_comes_in_an_archive(serving: Serving) -> None:
    answer = serving.live.ask("POST", f"{PATH}?model=ldcsr-small&uncertainty=true", IMAGES["picture.png"])
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.namelist() == ["sr.png", "uncertainty.tif", "uncertainty.png", "about.json"]


BAD = {
    "?scale=0.5": ("invalid-request", 422),
    "?scale=many": ("invalid-request", 422),
    "?scale=nan": ("invalid-request", 422),
    "?model=nothing": ("model-unknown", 404),
    "?colour=red": ("invalid-request", 422),
    "?uncertainty=true": ("model-mismatch", 422),
    "?model=ldcsr-small&scale=30": ("model-mismatch", 422),
}


@pytest.mark.parametrize("query", BAD)
def test_what_cannot_be_used_is_told_as_a_problem(serving: Serving, query: str) -> None:
    answer = serving.live.ask("POST", f"{PATH}{query}", png())
    assert (answer.slug, answer.status) == BAD[query]


def test_parameters_that_contradict_one_another_are_refused(serving: Serving) -> None:
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    answer = serving.live.ask("POST", f"{PATH}?scale=2", form(png(), scale="3"), content_type=content_type)
    assert answer.slug == "invalid-request"
    assert "scale" in answer.document["detail"]


def test_large_scenes_are_pointed_to_archives(serving: Serving) -> None:
    answer = serving.live.ask("POST", PATH, png((101, 100)))
    assert (answer.slug, answer.status) == ("scene-too-large", 413)
    assert "/v1/archives" in answer.document["remedy"]


def test_models_are_listed_with_what_is_known_of_them(serving: Serving) -> None:
    bicubic, sampler, registered = json.loads(serving.live.ask("GET", "/v1/models").body)["models"]
    assert (bicubic["name"], bicubic["is_default"], bicubic["state"]) == ("bicubic", True, "ready")
    assert (sampler["bands"], sampler["gives_uncertainty"]) == (["red", "green", "blue"], True)
    assert (sampler["source"], sampler["scales"]) == ("ldcsr-small", [1.0, 8.0])
    assert registered["source"] == "models:/model-x4@champion"
    assert registered["version"].startswith("models:/model-x4/")


def test_it_is_alive_and_ready(serving: Serving) -> None:
    assert serving.live.ask("GET", "/livez").document == {"status": "alive"}
    answer = serving.live.ask("GET", "/readyz")
    assert answer.document == {
        "status": "ready",
        "models": {"bicubic": "ready", "ldcsr-small": "ready", "registered": "ready"},
    }


def test_the_description_names_all_routes(serving: Serving) -> None:
    paths = json.loads(serving.live.ask("GET", "/openapi.json").body)["paths"]
    wanted = {PATH, "/v1/models", "/v1/archives", "/v1/archives/{archive_id}", "/livez", "/readyz", "/metrics"}
    assert wanted <= paths.keys()


def test_what_was_done_is_counted(serving: Serving) -> None:
    assert serving.live.ask("POST", PATH, png()).status == 200
    text = serving.live.ask("GET", "/metrics").body.decode()
    assert 'rssr_requests_total{method="POST",route="/v1/super-resolve",status="200"}' in text
    assert "rssr_requests_in_flight" in text


def test_an_archive_runs_with_the_version_that_is_served(serving: Serving) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("one.tif", IMAGES["ground.tif"])
    body = form(buffer.getvalue(), model="ldcsr-small", scale="2").replace(b'name="image"', b'name="archive"')
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    answer = serving.live.ask("POST", "/v1/archives", body, content_type=content_type)
    assert answer.status == 201
    assert answer.headers["location"].startswith("/v1/archives/")
    assert answer.document["model"] == "ldcsr-small"


def test_what_others_reach_is_not_built_without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=r"listen at 0\.0\.0\.0 without keys"):
        build({"host": "0.0.0.0"})
    monkeypatch.setenv(KEYS_VARIABLE, "no key")
    with pytest.raises(ConfigError, match="Line 1 of RSSR_API_KEYS is no key"):
        build({"host": "0.0.0.0"})
    monkeypatch.setenv(KEYS_VARIABLE, key_line("anna", new_key()))
    build({"host": "0.0.0.0"})


def test_keys_are_needed_by_where_ray_serve_listens(serving: Serving) -> None:
    assert listening_address() == (serving.config.host, serving.config.port)


def test_another_address_on_the_same_cluster_is_refused(serving: Serving) -> None:
    elsewhere = serving.config.model_copy(update={"port": free_port()})
    with pytest.raises(ConfigError, match=f"already, and listens at 127.0.0.1:{serving.config.port} instead"):
        run_serve(elsewhere)
    assert serving.live.ask("GET", "/livez").status == 200
