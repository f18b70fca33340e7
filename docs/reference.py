"""Makes pages of all docstrings: python docs/reference.py [FOLDER]."""

import pkgutil
import sys
import warnings
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import pdoc  # noqa: E402  # after the path, so that the code beside this file is told of
import pdoc.render  # noqa: E402

import pipelines  # noqa: E402
import rssr  # noqa: E402

_LEFT_OUT = "__main__"


def modules_of(package: ModuleType) -> list[str]:
    """Names of a package and of all modules in it."""
    inner = pkgutil.walk_packages(package.__path__, f"{package.__name__}.", onerror=_fail)
    return [package.__name__, *(found.name for found in inner if not found.name.endswith(_LEFT_OUT))]


def main(arguments: list[str]) -> int:
    """Write the pages; returns the exit status."""
    folder = Path(arguments[0]) if arguments else ROOT / "build" / "reference"
    for name in rssr.__all__:  # they are imported when first used, which is not seen from outside
        setattr(rssr, name, getattr(rssr, name))
    pdoc.render.configure(docformat="google", show_source=False, footer_text=f"rssr {rssr.__version__}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries that are imported
        pdoc.pdoc(*modules_of(rssr), *modules_of(pipelines), output_directory=folder)
    print(f"{folder / 'index.html'}: {sum(1 for _ in folder.rglob('*.html'))} pages")
    return 0


def _fail(name: str) -> None:
    raise ImportError(f"{name} cannot be imported")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
