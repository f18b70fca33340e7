"""What the page on serving shows is what a real service does."""

import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rssr.plain_yaml import read_yaml
from rssr.scenes.generate import generate_scene
from rssr.scenes.geotiff import write_scene_geotiff
from tests.jobs.running import ROOT, environment
from tests.jobs.serving import Served

PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", PAGE, re.DOTALL)
JOBS = re.findall(r"```console\n\$ python jobs/serve\.py ?(.*?)\n```", PAGE)
ADDRESS = "http://127.0.0.1:8000"
TOOLS = ("bash", "curl", "jq")
HOW_TO_GET = "the page's commands need bash, curl and jq, which are not all here: apt-get install bash curl jq"


@pytest.fixture
def desk(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the page speaks of, in which its blocks run."""
    from PIL import Image

    (tmp_path / "images").mkdir()
    for number in range(2):
        Image.fromarray(generate_scene(number, 20, 24, gsd_m=2.0)).save(tmp_path / "images" / f"{number}.png")
    (tmp_path / "image.png").write_bytes((tmp_path / "images" / "0.png").read_bytes())
    write_scene_geotiff(tmp_path / "scene.tif", 0, 20, 24, gsd_m=2.0)
    write_scene_geotiff(served.place / "scenes" / "town.tif", 0, 20, 24, gsd_m=2.0)
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.write(tmp_path / "images" / "0.png", "0.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("language", "block"), BLOCKS, ids=[f"block {number}" for number in range(len(BLOCKS))])
def test_every_block_of_the_page_runs(served: Served, desk: Path, language: str, block: str) -> None:
    script = desk / f"block.{language}"
    script.write_text(block.replace(ADDRESS, served.url))
    if language == "python":
        runpy.run_path(str(script), run_name="__main__")
        assert len(list((desk / "products").rglob("*.tif"))) >= 2
        return
    if not all(map(shutil.which, TOOLS)):
        pytest.skip(HOW_TO_GET)
    command = ["bash", "-euo", "pipefail", str(script)]
    env = environment({"PLACE": str(served.place)})
    done = subprocess.run(command, capture_output=True, text=True, cwd=desk, env=env, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("arguments", JOBS)
def test_every_job_of_the_page_can_be_typed(desk: Path, arguments: str) -> None:
    if not arguments:
        return  # the service of all other blocks is started like that
    command = [sys.executable, str(ROOT / "jobs" / "serve.py"), *shlex.split(arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=desk, env=environment(), timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert read_yaml((desk / "serve_config.yaml").read_text())["applications"]


def test_the_page_has_blocks() -> None:
    assert len(BLOCKS) == 8 and len(JOBS) == 2


def test_the_page_names_every_metric(served: Served) -> None:
    from rssr.client.transport import Ask, Patience, Transport

    text = Transport(served.url, None, Patience()).request(Ask("GET", "/metrics")).content.decode()
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE rssr_")}
    assert names
    assert names - set(re.findall(r"`(rssr_\w+)`", PAGE)) == set()


def test_every_route_is_told_apart_in_counts(served: Served) -> None:
    from pipelines.serving.http.access_log import ROUTES
    from rssr.client.transport import Ask, Patience, Transport

    document = json.loads(Transport(served.url, None, Patience()).request(Ask("GET", "/openapi.json")).content)
    known = {re.sub(r"\{\w+(:path)?\}", "{}", route) for route in ROUTES}
    paths = {re.sub(r"\{\w+(:path)?\}", "{}", path) for path in document["paths"]}
    assert paths - known == set()
