"""The page in a real browser, on the service that all tests share: without a key, and behind one."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.serving.archives.deployment import archives_behind
from pipelines.serving.declarative import APPLICATION
from pipelines.serving.http.app import Service, make_app
from pipelines.serving.http.archive_wiring import archive_door
from pipelines.serving.models.deployment import ModelHandles
from pipelines.serving.security.keys import Keys
from pipelines.storage import StorageSettings
from rssr.images import encode_png
from rssr.scenes import generate_scene
from rssr.service_keys import key_line, new_key
from tests.browser import Browser, Tab
from tests.faults import FaultProxy, fault_proxy
from tests.pipelines.serving.conftest import Serving
from tests.pipelines.serving.http.live import Answer, Live, live

MODEL = "ldcsr-small"
Visit = Callable[..., AbstractContextManager[Tab]]


@dataclass(frozen=True)
class Served:
    """A service as it is reached at an address.

    Attributes:
        live: To ask it without a browser.
        key: Which it asks for; empty for none.
    """

    live: Live
    key: str = ""

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.live.port}"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request, with the key."""
        keyed = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return self.live.ask(method, path, body, **keyed, **headers)


@pytest.fixture(scope="session")
def service(serving: Serving) -> Served:
    """The service, which asks for no key."""
    return Served(serving.live)


@pytest.fixture(scope="session")
def folder(serving: Serving) -> Path:
    """Archives may be read from `in` below it, and written to `out`."""
    for name in ("in", "out"):
        (serving.sampler.parent / name).mkdir(exist_ok=True)
    return serving.sampler.parent


@pytest.fixture(scope="session")
def locked(serving: Serving) -> Iterator[Served]:
    """The same models and archives behind another ingress, which asks for a key."""
    from ray import serve

    async def collect() -> str:
        return ""

    key, config = new_key(), serving.config
    handles = {model.name: serve.get_deployment_handle(f"model-{model.name}", APPLICATION) for model in config.served}
    models = ModelHandles(handles, config)
    archives = archive_door(config, archives_behind(serve.get_deployment_handle("Archives", APPLICATION)), models)
    keys = Keys(lines=key_line("page", key))
    with live(make_app(Service(config, keys, models, archives, collect))) as server:
        yield Served(server, key)


@pytest.fixture
def troubled(service: Served) -> Iterator[FaultProxy]:
    """A proxy before the service, which makes trouble as it is told."""
    with fault_proxy(StorageSettings(endpoint_url=service.uri)) as proxy:
        yield proxy


@pytest.fixture
def visit(browser: Browser, service: Served) -> Visit:
    """Show the page of the service, or the one at another address."""

    def show(uri: str = service.uri, **options: Any) -> AbstractContextManager[Tab]:
        return browser.tab(f"{uri}/", **options)

    return show


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small PNG."""
    path = tmp_path_factory.mktemp("pictures") / "suburb.png"
    path.write_bytes(encode_png(generate_scene(3, 48, 64)))
    return path
