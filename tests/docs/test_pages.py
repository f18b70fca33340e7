"""The tutorials do what they say: every block is typed as it stands, in order."""

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tests.pipelines.toy_method
from rssr.images import encode_png
from rssr.scenes import generate_scene
from rssr.scenes.geotiff import write_scene_geotiff
from tests.jobs.running import ROOT, environment
from tests.jobs.typed import read_command, typed_commands

PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
RUN_HERE = {"train.md": 7, "archive.md": 4, "doctor.md": 1}
"""Pages whose blocks run here, and how many those are; the others have tests of their own."""

_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_LINK = re.compile(r"\]\(([^)#]+)\)")


def blocks(page: str) -> list[str]:
    """Of a page, in order."""
    return _BLOCK.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))


@pytest.fixture
def desk(tmp_path: Path) -> dict[str, str]:
    """The places that the pages speak of, as environment variables."""
    for name, first, number in (("images", 0, 60), ("held-out", 1000, 12)):
        (tmp_path / name).mkdir()
        for index in range(number):
            (tmp_path / name / f"{index}.png").write_bytes(encode_png(generate_scene(first + index, 256, 256)))
    (tmp_path / "scenes").mkdir()
    for number, name in enumerate(("town", "coast")):
        write_scene_geotiff(tmp_path / "scenes" / f"{name}.tif", number, 150, 170, gsd_m=2.0)
    places = {"IMAGES": "images", "HELD_OUT": "held-out", "SCENES": "scenes", "SCENE": "scenes/town.tif"}
    places |= {name: name.lower() for name in ("DATA", "RUNS", "EVALUATION", "PRODUCTS")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**{name: str(tmp_path / place) for name, place in places.items()}, "PATH": path}


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("page", RUN_HERE)
def test_every_block_of_a_page_runs(page: str, desk: dict[str, str], ray_jobs: dict[str, str]) -> None:
    for number, block in enumerate(blocks(page)):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=ROOT,
            env=environment({**desk, **ray_jobs}),
            capture_output=True,
            text=True,
            timeout=3600,
            check=False,
        )
        assert done.returncode == 0, (
            f"block {number + 1} of {page}:\n{block}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )


TYPED = {
    (page, command): None
    for page in ("README.md", *(f"docs/{page}" for page in PAGES))
    for command in typed_commands((ROOT / page).read_text(encoding="utf-8"))
}


@pytest.mark.parametrize(("page", "command"), TYPED)
def test_jobs_take_what_pages_show(page: str, command: str) -> None:
    places = dict.fromkeys(
        ("IMAGES", "HELD_OUT", "DATA", "RUNS", "EVALUATION", "SCENES", "PRODUCTS", "TRAIN", "D", "ours"), "/x"
    )
    typed = re.sub(r"\$(\w+)", lambda name: places[name[1]], command)
    read_command(typed.replace(" /x ", " data.uri=/x "))  # $TRAIN stands for an argument


def test_pages_have_the_blocks_that_are_run() -> None:
    assert {page: len(blocks(page)) for page in RUN_HERE} == RUN_HERE


def test_the_method_of_the_page_is_the_one_that_is_trained() -> None:
    [block] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "method.md").read_text(encoding="utf-8"), re.DOTALL)
    tested = ast.parse(inspect.getsource(tests.pipelines.toy_method))
    tested.body = tested.body[1:]  # its docstring
    assert ast.dump(ast.parse(block)) == ast.dump(tested)


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{page}" for page in PAGES)])
def test_links_lead_somewhere(page: str) -> None:
    source = ROOT / page
    links = [link for link in _LINK.findall(source.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (source.parent / link).exists()] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 200


def test_every_page_is_linked_from_another() -> None:
    texts = {page: (ROOT / "docs" / page).read_text(encoding="utf-8") for page in PAGES}
    texts["README.md"] = (ROOT / "README.md").read_text(encoding="utf-8")
    for page in PAGES:
        assert any(f"{page})" in text for name, text in texts.items() if name != page), page
