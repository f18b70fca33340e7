"""The image's recipe: what it copies is there and is sent to the builder, and what it installs is whole."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path, PurePath
from shutil import copytree, ignore_patterns

import pytest

from tests.cluster.files import CLUSTER, ROOT

TEXT = (CLUSTER / "Containerfile").read_text(encoding="utf-8")
JOINED = TEXT.replace("\\\n", " ")
KNOWN = ("ARG", "FROM", "ENV", "WORKDIR", "RUN", "COPY", "LABEL", "USER", "CMD")
FINAL = JOINED[JOINED.rindex("\nFROM ") :]


def instructions(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def copied() -> list[str]:
    """What is copied from the project."""
    found = [line.split()[1:-1] for line in instructions(JOINED) if line.startswith("COPY ") and "--from" not in line]
    return [name for names in found for name in names]


def test_instructions_are_ones_that_builders_know() -> None:
    assert {line.split()[0] for line in instructions(JOINED)} <= set(KNOWN)


def test_all_that_is_copied_is_there_and_is_sent_to_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert "*" in lines and set(copied()) == kept
    assert [name for name in copied() if not (ROOT / name).exists()] == []


def test_nothing_is_sent_that_is_no_part_of_the_image() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert not {"!.git", "!tests", "!cluster", "!cluster/compose"} & set(lines)
    assert "**/__pycache__" in lines[lines.index("!rssr") :], "later lines win"


def test_no_process_is_root() -> None:
    users = re.findall(r"^USER (\S+)", FINAL, re.M)
    assert users == ["1000:1000"]
    after = FINAL[FINAL.index("\nUSER ") :]
    assert "\nRUN " not in after and "\nCOPY " not in after


def test_versions_are_pinned() -> None:
    dependencies, project = re.findall(r"pip install ([^&\n]+)", JOINED)
    assert "--constraint constraints.txt" in dependencies
    assert "--no-deps" in project, "nothing comes without its version"
    assert "--no-build-isolation" in project, "setuptools would come in any version"


@pytest.mark.parametrize("extras", ["", "postgresql", "postgresql,eval"])
def test_all_dependencies_are_installed_and_those_of_the_extras_that_are_asked_for(extras: str, tmp_path: Path) -> None:
    (code,) = re.findall(r'python -c "(import tomllib;.*?)" > requirements.txt', JOINED, re.DOTALL)
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    command = [sys.executable, "-c", code.replace("${EXTRAS}", extras)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [wanted for extra in filter(None, extras.split(",")) for wanted in project["optional-dependencies"][extra]]
    assert listed == [*project["dependencies"], *asked]
    assert any(wanted.startswith("setuptools") for wanted in listed), "it builds the project afterwards"


def test_accelerators_differ_by_an_argument_that_is_checked() -> None:
    (default,) = re.findall(r"^ARG ACCELERATOR=(\w+)", TEXT, re.M)
    assert default == "cuda"
    (code,) = re.findall(r'python -P -c "(import sys, torch;.*?)"\s+&&', JOINED, re.DOTALL)
    for built_for, wanted, is_right in (("None", "cpu", True), ("'13.0'", "cuda", True), ("None", "cuda", False)):
        program = code.replace("${ACCELERATOR}", wanted).replace("import sys, torch", "import sys")
        version = f"types.SimpleNamespace(cuda={built_for})"
        fake = f"import types\ntorch = types.SimpleNamespace(__version__='2', version={version})\n"
        done = subprocess.run([sys.executable, "-c", fake + program], capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == is_right, done.stderr
        assert is_right or "no build for cuda" in done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names of the files of the package that the image installs, made of what is sent to the builder."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in copied():
        target = folder / "project" / PurePath(name).name
        if (ROOT / name).is_dir():
            copytree(ROOT / name, target, ignore=ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder), str(folder / "project")]
    subprocess.run(command, check=True, capture_output=True)
    (made,) = folder.glob("rssr-*.whl")
    return zipfile.ZipFile(made).namelist()


def test_the_package_that_is_installed_has_all_files(wheel: list[str]) -> None:
    sources = [
        path for folder in ("rssr", "pipelines", "jobs") for path in (ROOT / folder).rglob("*") if path.is_file()
    ]
    wanted = {path.relative_to(ROOT).as_posix() for path in sources if "__pycache__" not in path.parts}
    assert len(wanted) > 300
    assert sorted(wanted - set(wheel)) == []


def test_jobs_lie_where_manifests_call_them(wheel: list[str]) -> None:
    assert "jobs/bulk.py" in wheel
    assert "ln -s \"$(python -P -c 'import jobs; print(next(iter(jobs.__path__)))')\" /opt/venv/jobs" in JOINED
    assert "ln -s /opt/venv/jobs /opt/rssr/jobs" in FINAL


def test_the_image_says_what_it_is_by_default() -> None:
    (command,) = re.findall(r"^CMD \[\"(\w+)\", \"(\w+)\"\]", FINAL, re.M)
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert command[0] in scripts and (ROOT / "rssr" / "cli" / f"{command[1]}.py").is_file()


def test_tools_that_others_run_in_the_container_are_there() -> None:
    packages = re.search(r"install --yes --no-install-recommends ([^&]+)", FINAL)
    assert packages and {"ca-certificates", "rsync", "wget"} <= set(packages[1].split())
    assert Path("/opt/venv/bin").as_posix() in FINAL
