"""The tree of docs/tree.md equals the disk."""

import ast
import re
from pathlib import PurePath

import pytest

from tests.house.project_files import ROOT, SOURCE_FOLDERS

HEADING = "## The tree"


@pytest.fixture(scope="module")
def listed() -> dict[str, str]:
    """Description by path, from the code block below the heading; a line's indentation says in which folder it lies."""
    text = (ROOT / "docs" / "tree.md").read_text(encoding="utf-8")
    assert HEADING in text, f"docs/tree.md needs a heading '{HEADING}'"
    block = re.search(r"```[a-z]*\n(.*?)```", text.split(HEADING, 1)[1], re.DOTALL)
    assert block, "a fenced block with lines `path   description` belongs below the heading"
    described: dict[str, str] = {}
    folders: list[tuple[int, str]] = []
    for line in filter(str.strip, block[1].splitlines()):
        name, _, description = line.strip().partition(" ")
        indentation = len(line) - len(line.lstrip())
        while folders and folders[-1][0] >= indentation:
            folders.pop()
        path = (folders[-1][1] if folders else "") + name
        assert path not in described, f"{path} is listed twice"
        described[path] = description.strip()
        if name.endswith("/"):
            folders.append((indentation, path))
    return described


@pytest.fixture(scope="module")
def wanted(tracked: list[str]) -> dict[str, str]:
    """What must be listed, with a description to start from: top-level files, packages, modules and presets."""
    paths: dict[str, str] = {}
    for name in tracked:
        path = PurePath(name)
        if len(path.parts) == 1:
            paths[name] = ""
        elif path.parts[0] in SOURCE_FOLDERS and path.name == "__init__.py":
            paths[f"{path.parent.as_posix()}/"] = summary(name)  # a package is its folder
        elif path.parts[0] in SOURCE_FOLDERS and path.suffix in (".py", ".yaml"):
            paths[name] = summary(name)
    return paths


def summary(name: str) -> str:
    """First sentence of a module's docstring, or of a preset's comment."""
    text = (ROOT / name).read_text(encoding="utf-8")
    if name.endswith(".py"):
        text = ast.get_docstring(ast.parse(text)) or ""
    return text.lstrip("# ").split("\n")[0].rstrip(".")


def test_everything_on_disk_is_in_the_tree(listed: dict[str, str], wanted: dict[str, str]) -> None:
    missing = sorted(wanted.keys() - listed.keys())
    lines = "\n".join(f"{path:<44} {wanted[path]}" for path in missing)
    assert not missing, f"docs/tree.md, '{HEADING}', lacks:\n{lines}"


def test_every_top_level_folder_is_in_the_tree(listed: dict[str, str], tracked: list[str]) -> None:
    folders = {f"{PurePath(name).parts[0]}/" for name in tracked if "/" in name}
    assert sorted(folder for folder in folders if not any(path.startswith(folder) for path in listed)) == []


def test_everything_in_the_tree_is_on_disk(listed: dict[str, str]) -> None:
    superfluous = [
        path for path in listed if not (ROOT / path).exists() or path.endswith("/") != (ROOT / path).is_dir()
    ]
    lines = "\n".join(superfluous)
    assert not superfluous, f"docs/tree.md, '{HEADING}', lists what is not there (folders end with /):\n{lines}"


def test_every_file_of_the_tree_says_what_it_is(listed: dict[str, str]) -> None:
    bare = [path for path, description in listed.items() if len(description) < 3 and not path.endswith("/")]
    assert not bare, "docs/tree.md: no description of\n" + "\n".join(bare)
