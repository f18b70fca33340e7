"""Callers read and write where the operator says, and are told what to ask for."""

import pickle

import pytest

from pipelines.bulk.config import BulkConfig
from pipelines.serving.problems import Problem
from pipelines.serving.security.config import SecurityConfig
from pipelines.serving.security.places import ServicePlaces
from rssr.errors import ConfigError

PLACES = ServicePlaces(SecurityConfig(read_places=("s3://in/", "https://host/x"), write_places="s3://out"))  # type: ignore[arg-type]  # YAML may say so


def detail(places: ServicePlaces, uri: str, *, writes: bool = False) -> tuple[str, str]:
    with pytest.raises(Problem) as raised:
        if writes:
            places.check_write(uri)
        else:
            places.check_read(uri, "anna")
    assert raised.value.slug == "forbidden-place"
    return raised.value.detail, raised.value.remedy


def test_allowed_places_are() -> None:
    places = pickle.loads(pickle.dumps(PLACES))
    places.check_read("s3://in/**/*.tif", "anna")
    places.check_read("https://host/x/list.txt", "anna")
    places.check_write("s3://out/run")


def test_others_are_refused_with_what_to_ask_for() -> None:
    assert "security.read_places" in detail(PLACES, "s3://out/a.tif")[1]
    assert "security.write_places" in detail(PLACES, "s3://in/a", writes=True)[1]
    assert "s3://in/../x" in detail(PLACES, "s3://in/../x")[0]


def test_without_places_callers_are_told_to_send_images() -> None:
    detail_of_read, remedy = detail(ServicePlaces(SecurityConfig()), "/data/in")
    assert "reads no places" in detail_of_read
    assert "security.read_places" in remedy and "zip" in remedy
    assert "writes to no places" in detail(ServicePlaces(SecurityConfig()), "/data/out", writes=True)[0]


def test_products_go_to_one_folder() -> None:
    places = ServicePlaces(SecurityConfig(write_places=("https://host/x", "s3://out")))
    for uri in ("https://host/x/y", "s3://out/*", "s3://out/a?"):
        detail(places, uri, writes=True)


def test_runs_are_held_to_the_same_places() -> None:
    config = BulkConfig.model_validate({"input": "x", **PLACES.bulk_keys("/own/upload.zip")})
    allowed = config.allowed_places()
    assert allowed is not None
    assert allowed.allows("/own/upload.zip!/a.tif") and allowed.allows("s3://in/a")
    assert not allowed.allows("/own/other.zip") and not allowed.allows("s3://out/a")
    nothing = BulkConfig.model_validate({"input": "x", **ServicePlaces(SecurityConfig()).bulk_keys()}).allowed_places()
    assert nothing is not None and not nothing.allows("/etc/passwd")


def test_places_that_can_be_none_are_told_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"security\.write_places"):
        ServicePlaces(SecurityConfig(write_places=("relative",)))
