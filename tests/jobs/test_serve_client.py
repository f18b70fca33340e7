"""The client and a real service."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rssr import super_resolve
from rssr.client import ServiceError
from rssr.raster import open_raster
from rssr.scenes.generate import generate_scene
from rssr.scenes.geotiff import write_scene_geotiff
from tests.jobs.serving import Served

PIXELS = generate_scene(0, 24, 30, gsd_m=2.0)


def test_pixels_come_back_as_they_are_made_here(served: Served) -> None:
    result = served.client.super_resolve(PIXELS, scale=3, format="png")
    assert np.array_equal(result.to_array(), super_resolve(PIXELS, "bicubic", 3))
    assert (result.model, result.media_type) == ("bicubic", "image/png")
    assert set(result.timings_s) >= {"model", "queue"}


def test_georeference_is_kept(served: Served, tmp_path: Path) -> None:
    write_scene_geotiff(tmp_path / "town.tif", 0, 24, 30, gsd_m=2.0)
    served.client.super_resolve(tmp_path / "town.tif", scale=2).save(tmp_path / "sr.tif")
    with open_raster(tmp_path / "town.tif") as before, open_raster(tmp_path / "sr.tif") as after:
        assert after.info.crs == before.info.crs
        assert after.info.size == (48, 60)
        assert after.info.transform.a == before.info.transform.a / 2


def test_refusals_are_explained(served: Served) -> None:
    with pytest.raises(ServiceError) as caught:
        served.client.super_resolve(b"no image at all")
    assert caught.value.status in (415, 422) and caught.value.remedy and caught.value.request_id
    with pytest.raises(ServiceError) as caught:
        served.client.super_resolve(PIXELS, model="none-such")
    assert (caught.value.status, caught.value.kind) == (404, "model-unknown")
    with pytest.raises(ServiceError) as caught:
        served.client.archives.get("none-such")
    assert (caught.value.status, caught.value.kind) == (404, "not-found")


def test_models_are_told(served: Served) -> None:
    (model,) = served.client.models()
    assert (model.name, model.is_default, model.state, model.gives_uncertainty) == ("bicubic", True, "ready", False)


def test_an_uploaded_archive_is_watched_and_fetched(served: Served, tmp_path: Path) -> None:
    (tmp_path / "images" / "north").mkdir(parents=True)
    for name in ("a", "north/b"):
        Image.fromarray(PIXELS).save(tmp_path / "images" / f"{name}.png")
    archives, seen = served.client.archives, []
    made = archives.upload(tmp_path / "images", scale=2)
    ended = archives.wait(made, lambda now: seen.append(now.progress), timeout_s=240)
    assert (ended.state, ended.counts.scenes["total"], seen[-1]) == ("completed", 2, 100)
    items = list(archives.items(made))
    assert len(items) == 2 and all(item.files for item in items)
    paths = archives.download(made, tmp_path / "products")
    assert len(paths) == sum(len(item.files) for item in items)
    assert b"<html" in archives.report(made)
    assert made.id in {archive.id for archive in archives.all()}


def test_the_same_key_is_the_same_archive(served: Served) -> None:
    write_scene_geotiff(served.place / "again" / "town.tif", 0, 20, 24, gsd_m=2.0)
    archives = served.client.archives
    given = (str(served.place / "again"), str(served.place / "again-out"))
    first = archives.submit(*given, scale=2, idempotency_key="again")
    assert archives.submit(*given, scale=2, idempotency_key="again").id == first.id
    with pytest.raises(ServiceError) as caught:
        archives.submit(*given, scale=3, idempotency_key="again")
    assert caught.value.kind == "idempotency-key-reused"
    assert archives.wait(first, timeout_s=240).state == "completed"
    with pytest.raises(ServiceError) as caught:
        archives.cancel(first)
    assert caught.value.kind == "conflict"


def test_places_that_are_not_allowed_are_refused(served: Served, tmp_path: Path) -> None:
    with pytest.raises(ServiceError) as caught:
        served.client.archives.submit(str(tmp_path), str(served.place / "out"))
    assert (caught.value.status, caught.value.kind) == (403, "forbidden-place")


def test_one_request_is_found_in_the_logs_of_all_its_processes(served: Served) -> None:
    from rssr.client.transport import Ask, Patience, Transport, json_body

    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"X-Request-Id": "find-me", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    transport = Transport(served.url, None, Patience())
    with pytest.raises(ServiceError):
        transport.request(Ask("POST", "/v1/super-resolve", headers=headers, body=json_body({})))
    lines = [json.loads(line) for path in served.logs.glob("ingress*.log") for line in path.read_text().splitlines()]
    (found,) = [line for line in lines if line.get("request_id") == "find-me" and line["message"] == "request"]
    assert (found["trace_id"], found["route"], found["method"]) == (trace, "/v1/super-resolve", "POST")
