"""Who may import whom."""

import ast
import re
import sys
import tomllib

import pytest

from tests.house.project_files import ROOT, Source, is_within

# Folder -> packages it never imports.
FORBIDDEN = {
    "rssr/": ("ray", "mlflow", "fastapi", "pipelines", "jobs", "benchmarks", "cluster", "tests"),
    "pipelines/": ("jobs", "benchmarks", "cluster", "tests"),
    "jobs/": ("tests",),
    "pipelines/stages/": ("ray",),  # plain callables, tested without a cluster
    "pipelines/loop/": ("ray",),  # runs in one process as well
    "pipelines/datasets/": ("ray",),
    "pipelines/report/": ("ray", "mlflow"),
}

# Package -> the only places that import it.
DOORS = {
    "rasterio": ("rssr/raster/",),
    "rio_cogeo": ("rssr/raster/cog.py",),
    "pystac": ("pipelines/bulk/products/stac.py", "pipelines/bulk/products/stac_assets.py"),
    "osgeo": (),
    "diffusers": ("rssr/weights/base.py", "rssr/weights/stand_ins.py"),
    "transformers": ("rssr/weights/base.py", "rssr/weights/stand_ins.py"),
    "pyiqa": ("rssr/metrics/perceptual/",),
    "peft": ("rssr/methods/slimdiffsr/teacher.py",),
    "timm": ("rssr/weights/auxiliary.py",),
    "onnx": (),
    "onnxruntime": ("rssr/models/export.py",),
    "onnxscript": ("rssr/models/export.py",),
    "mlflow": ("pipelines/tracking/",),
    "fsspec": ("pipelines/storage/",),
    "s3fs": (),  # fsspec loads it by name
    "boto3": ("pipelines/storage/",),
    "botocore": ("pipelines/storage/",),
    "fastapi": ("pipelines/serving/http/",),
    "starlette": ("pipelines/serving/http/",),
    "python_multipart": ("pipelines/serving/http/form.py",),
    "aiohttp": ("pipelines/storage/guarded_web.py",),
    "uvicorn": (),
    "grpc": ("pipelines/cluster_token.py",),
    "jinja2": ("pipelines/report/",),
    "prometheus_client": ("pipelines/serving/telemetry/metrics.py", "pipelines/serving/telemetry/counts.py"),
    "rich": ("pipelines/progress.py", "rssr/cli/"),
    "yaml": ("rssr/plain_yaml.py", "rssr/configuration.py", "rssr/card.py", "pipelines/tracking/model_source.py"),
}

# Packages of the extras, which users need not have.
EXTRAS = ("pyiqa", "onnx", "onnxruntime", "onnxscript", "lpips", "skimage", "hypothesis", "moto", "pytest", "mypy")

# What a dependency brings along as part of its own interface.
BROUGHT_ALONG = {
    "affine": "rasterio",
    "aiohttp": "s3fs",
    "botocore": "boto3",
    "grpc": "ray",
    "huggingface_hub": "diffusers",
    "markupsafe": "jinja2",
    "packaging": "transformers",
    "prometheus_client": "ray",
    "pydantic_core": "pydantic",
    "starlette": "fastapi",
}

# Distributions whose module is called otherwise.
MODULES = {"opencv-python-headless": "cv2", "pillow": "PIL", "pyyaml": "yaml", "rio-cogeo": "rio_cogeo"}
MODULES |= {"python-multipart": "python_multipart", "scikit-image": "skimage"}


# What methods may import of one another's: a folder that is no method.
SHARED_BY_METHODS = "latent"


def within(source: Source, places: tuple[str, ...]) -> bool:
    return any(source.name == place or (place.endswith("/") and source.name.startswith(place)) for place in places)


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_go_one_way(sources: list[Source], folder: str) -> None:
    wrong = [
        f"{source.name}:{line} imports {module}"
        for source in sources
        if within(source, (folder,))
        for module, line in source.imports()
        if any(is_within(module, package) for package in FORBIDDEN[folder])
    ]
    assert wrong == []


def test_methods_never_import_one_another(sources: list[Source]) -> None:
    methods = sorted(path.parent.name for path in (ROOT / "rssr" / "methods").glob("*/__init__.py"))
    assert "slimdiffsr" in methods
    wrong = [
        f"{source.name}:{line} imports {module}"
        for source in sources
        for own in methods
        if within(source, (f"rssr/methods/{own}/",))
        for module, line in source.imports()
        for other in methods
        if other not in (own, SHARED_BY_METHODS) and is_within(module, f"rssr.methods.{other}")
    ]
    assert wrong == []


@pytest.mark.parametrize("package", DOORS)
def test_heavy_neighbours_have_one_door(sources: list[Source], package: str) -> None:
    wrong = [
        f"{source.name}:{line} imports {module}"
        for source in sources
        if not within(source, DOORS[package]) and not source.name.startswith("benchmarks/")
        for module, line in source.imports()
        if is_within(module, package)
    ]
    assert wrong == []


@pytest.mark.parametrize("package", [package for package, places in DOORS.items() if places])
def test_every_door_is_used(sources: list[Source], package: str) -> None:
    unused = [
        place
        for place in DOORS[package]
        if not any(
            is_within(module, package)
            for source in sources
            if within(source, (place,))
            for module, _ in source.imports()
        )
    ]
    assert unused == []


def test_extras_are_never_imported_when_a_module_is(sources: list[Source]) -> None:
    wrong = [
        f"{source.name}:{node.lineno}"
        for source in sources
        for node in source.tree.body
        if isinstance(node, ast.Import | ast.ImportFrom) and not source.name.startswith("benchmarks/")
        for module in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        if any(is_within(module, extra) for extra in EXTRAS)
    ]
    assert wrong == []


def test_every_import_is_a_dependency(sources: list[Source]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    distributions = {re.split(r"[\[<>=!~; ]", item)[0].lower() for item in wanted}
    modules = {MODULES.get(name, name) for name in distributions}
    modules |= {name for name, owner in BROUGHT_ALONG.items() if owner in distributions}
    known = {*modules, *sys.stdlib_module_names, "rssr", "pipelines", "jobs", "benchmarks", "cluster"}
    wrong = {
        f"{source.name}:{line} imports {module}"
        for source in sources
        for module, line in source.imports()
        if module.split(".")[0] not in known
    }
    assert wrong == set()
