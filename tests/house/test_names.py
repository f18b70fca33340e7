"""What files and things are called, and what no file may hold."""

import ast
import re
import tomllib
from pathlib import PurePath

from tests.house.project_files import ROOT, Source

VAGUE = re.compile(
    r"^(?:utils?|helpers?|commons?|misc|tools?|stuff|core|base_?classes)$|_(?:utils?|helpers?|v\d|new|old)$"
)

# Addresses of package registries and their options; written in two parts so that this file holds none.
REGISTRIES = [
    "".join(parts)
    for parts in (
        ("pypi", ".org"),
        ("pythonhosted", ".org"),
        ("conda.anaconda", ".org"),
        ("registry.npmjs", ".org"),
        ("download.pytorch", ".org"),
        ("--index", "-url"),
        ("--extra-index", "-url"),
        ("--find", "-links"),
        ("--trusted", "-host"),
    )
]

# Tests of what several modules do together.
TESTS_OF_SEVERAL = {
    "tests/pipelines/datasets/test_odd_buckets.py": "a bucket as people have them, from listing to stream",
    "tests/pipelines/experiment/test_new_method.py": "a method that is new to all parts runs through them",
    "tests/pipelines/serving/page/test_accessibility.py": "whoever cannot see the page, or uses no mouse, on all of it",
    "tests/pipelines/serving/security/test_fuzz.py": "whatever is sent, the whole service answers",
    "tests/pipelines/serving/telemetry/test_dashboards.py": "dashboards ask for numbers of all parts that are there",
    "tests/pipelines/storage/test_faults.py": "every library outlasts the same trouble",
    "tests/pipelines/storage/test_stores.py": "all stores keep one contract",
    "tests/pipelines/test_stream_faults.py": "the stream on a server that fails now and then",
    "tests/pipelines/test_stream_order.py": "plan, stages and stream keep one order",
    "tests/rssr/degradation/test_distributions.py": "what is drawn and what pixels show agree with the presets",
    "tests/rssr/raster/test_read_write.py": "what is written is read back",
}


# Where tests are left out, each with its reason.
LEFT_OUT = {
    "tests/browser.py": "a browser is no Python package: where there is none it is told how to get it",
    "tests/cluster/test_alerts.py": "Prometheus' tool is no Python package: where it is not, likewise",
    "tests/jobs/test_serving_page.py": "curl and jq are no Python packages: where they are not, likewise",
}


def test_no_file_has_a_name_that_says_nothing(tracked: list[str]) -> None:
    wrong = [name for name in tracked for part in PurePath(name).with_suffix("").parts if VAGUE.search(part.lower())]
    assert wrong == []


def test_no_class_is_called_my(sources: list[Source]) -> None:
    wrong = [
        f"{source.name}: {node.name}"
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and re.match(r"My[A-Z]|.*(?:Util|Helper)s?$", node.name)
    ]
    assert wrong == []


def test_learning_rates_are_never_called_lr(sources: list[Source]) -> None:
    """`lr` is the low-resolution image; PyTorch's own argument is the only exception."""
    wrong = []
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.AnnAssign) and ast.unparse(node).startswith("lr: float"):
                wrong.append(f"{source.name}:{node.lineno} lr")
            if isinstance(node, ast.arg) and re.fullmatch(r"base_lr|lq|gt|img", node.arg):
                wrong.append(f"{source.name}:{node.lineno} {node.arg}")
    assert wrong == []


def test_no_file_holds_the_address_of_a_package_registry(tracked: list[str]) -> None:
    wrong = []
    for name in tracked:
        data = (ROOT / name).read_bytes()
        wrong += [f"{name}: {address}" for address in REGISTRIES if address.encode() in data]
    assert wrong == []


def test_constraints_are_exact_versions_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) > 50
    wrong = [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._+!-]+", line)]
    assert wrong == []


def test_constraints_pin_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    names = {re.split(r"[\[<>=!~; ]", item)[0] for item in wanted}
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()}
    assert {canonical(name) for name in names} <= {canonical(name) for name in pinned}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_dependency_has_a_bound_and_a_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = text.split("\ndependencies = [\n", 1)[1].split("\n]\n", 1)[0]
    assert block.count("\n") > 15
    wrong = [line for line in block.splitlines() if not re.fullmatch(r'    "[a-z0-9,\[\]-]+[<>=].*", +# .{10,}', line)]
    assert wrong == []


def test_tests_lie_where_their_sources_do(sources_of_tests: list[Source]) -> None:
    wrong = []
    for source in sources_of_tests:
        path = PurePath(source.name)
        if not path.name.startswith("test_") or path.parts[1] not in ("rssr", "pipelines"):
            continue
        module = ROOT.joinpath(*path.parts[1:-1], path.name.removeprefix("test_"))
        places = (module, module.with_suffix(".js"))  # pages have modules as well
        is_there = any(place.is_file() for place in places) or module.with_suffix("").is_dir()
        if not is_there and source.name not in TESTS_OF_SEVERAL:
            wrong.append(source.name)
    assert wrong == []


def test_no_test_is_left_out(sources_of_tests: list[Source]) -> None:
    pattern = re.compile(r"pytest\.(?:skip|xfail|importorskip)|mark\.(?:skip|skipif|xfail)\b")
    found = {source.name for source in sources_of_tests if pattern.search(source.text) and "house" not in source.name}
    assert found == LEFT_OUT.keys()


def test_nothing_is_unpickled(sources: list[Source]) -> None:
    """Weights and checkpoints come from others: safetensors, or PyTorch's restricted reader."""
    wrong = []
    for source in sources:
        for node in ast.walk(source.tree):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            restricted = isinstance(node, ast.Call) and any(
                ast.unparse(k) == "weights_only=True" for k in node.keywords
            )
            if re.fullmatch(r"(?:pickle|dill|joblib|cloudpickle)\.\w*(?:load|Unpickler)\w*", name):
                wrong.append(f"{source.name}:{node.lineno} {name}")  # type: ignore[attr-defined]  # calls have a line
            if name == "torch.load" and not restricted:
                wrong.append(f"{source.name}:{node.lineno} {name}")  # type: ignore[attr-defined]  # calls have a line
    assert wrong == []
