"""The project's own files as syntax trees."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE_FOLDERS = ("rssr", "pipelines", "jobs")


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: Path

    @property
    def name(self) -> str:
        """Path below the root."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        """What it holds."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text, filename=self.name)

    @property
    def package(self) -> str:
        """Dotted name of its package, to which relative imports refer."""
        return ".".join(self.path.relative_to(ROOT).parent.parts)

    def imports(self) -> Iterator[tuple[str, int]]:
        """Dotted names of all modules it imports, at any depth, and the lines where."""
        for node in ast.walk(self.tree):
            for module in self._imported(node):
                yield module, getattr(node, "lineno", 0)

    def _imported(self, node: ast.AST) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            above = self.package.split(".")[: -node.level + 1 or None] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            return [module, *(f"{module}.{alias.name}" for alias in node.names)]
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if function in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                return [node.args[0].value]
        return []


def is_within(module: str, package: str) -> bool:
    """Whether a dotted name is a package or lies below it."""
    return module == package or module.startswith(f"{package}.")
