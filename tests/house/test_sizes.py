"""Files, functions and argument lists that a reader can hold in mind."""

import ast
from collections.abc import Iterator

from tests.house.project_files import Source

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 45  # without its docstring
MAX_ARGUMENTS = 6

# Longer than that, each with its reason.
LONG_FUNCTIONS: dict[str, str] = {
    "tests/rssr/models/test_registry.py:test_networks_need_nothing_but_torch_numpy_and_safetensors": "holds the whole "
    "script of another process",
}
MANY_ARGUMENTS: dict[str, str] = {}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(source: Source) -> Iterator[tuple[str, Function]]:
    for node in ast.walk(source.tree):
        if isinstance(node, Function):
            yield f"{source.name}:{node.name}", node


def num_lines(function: Function) -> int:
    """From `def` to the last line, without the docstring."""
    first = function.body[0]
    is_docstring = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if is_docstring else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring


def num_arguments(function: Function) -> int:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    own = 1 if positional and positional[0].arg in ("self", "cls") else 0
    return len(positional) + len(arguments.kwonlyargs) - own


def test_files_are_short(sources: list[Source], sources_of_tests: list[Source]) -> None:
    lengths = {source.name: source.text.count("\n") for source in [*sources, *sources_of_tests]}
    assert {name: length for name, length in lengths.items() if length > MAX_FILE_LINES} == {}


def test_functions_are_short(sources: list[Source], sources_of_tests: list[Source]) -> None:
    lengths = {name: num_lines(node) for source in [*sources, *sources_of_tests] for name, node in functions(source)}
    long = {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES}
    assert {name: length for name, length in long.items() if name not in LONG_FUNCTIONS} == {}
    assert LONG_FUNCTIONS.keys() <= long.keys(), "an exception is no longer needed"


def test_functions_take_few_arguments(sources: list[Source]) -> None:
    counts = {name: num_arguments(node) for source in sources for name, node in functions(source)}
    many = {name: count for name, count in counts.items() if count > MAX_ARGUMENTS}
    assert {name: count for name, count in many.items() if name not in MANY_ARGUMENTS} == {}
    assert MANY_ARGUMENTS.keys() <= many.keys(), "an exception is no longer needed"


def test_exceptions_are_few_and_have_reasons() -> None:
    exceptions = LONG_FUNCTIONS | MANY_ARGUMENTS
    assert len(exceptions) <= 6
    assert all(len(reason) > 20 for reason in exceptions.values())
