"""Networks as files that run without this package: `torch.export` programs (.pt2) and ONNX (.onnx).

A file holds the network alone: what enters is the LR image at the target size, enlarged bicubically and padded to
the network's stride, as `SlimDiffSRResolver` does. Batch, height and width stay open. A file appears only after it
has been loaded again and its outputs have been compared with the network's own.
"""

import copy
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from rssr.errors import ModelError
from rssr.models.loaded import LoadedModel
from rssr.publish import write_aside

INPUT_NAME = "lr_upsampled"
OUTPUT_NAME = "sr"
METADATA_KEY = "rssr"
"""Under this key a file says what it is: an ONNX metadata property, or an extra file of a .pt2 archive."""

TOLERANCE = 1e-4
"""Largest difference allowed between a file's output and the network's, as a share of the output's range."""

MIN_STRIDES = 2  # torch.export takes a length of one for a constant
_OPSET = 20  # the first with GELU as one operator; onnxruntime has it since 1.17

Runner = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    Attributes:
        path: The file.
        num_bytes: Its size.
        stride: Heights and widths of inputs must be multiples of this, and at least twice as large.
        checked_shapes: Inputs on which file and network were compared.
        difference: Largest absolute difference found.
    """

    path: Path
    num_bytes: int
    stride: int
    checked_shapes: tuple[tuple[int, ...], ...]
    difference: float


def export_model(model: LoadedModel, path: Path, size: int = 256) -> ExportReport:
    """Write a model's network as a .pt2 or .onnx file, checked against the network.

    Args:
        model: A loaded model; its network stays as it is.
        path: Ends .pt2 or .onnx. An existing file is replaced.
        size: Side of the largest square that file and network are compared on, pixels.

    Raises:
        ModelError: The model has no such network, `size` does not suit it, the extra `export` is not installed, or
            the file's outputs differ from the network's.
        StorageError: The file cannot be written.
    """
    network, stride, bands = _exportable(model)
    if size % stride or size < MIN_STRIDES * stride:
        raise ModelError(
            f"A size of {size} does not suit {model.name}.",
            f"Give a multiple of {stride} of at least {MIN_STRIDES * stride}.",
        )
    write, load = _format(path)
    program = _traced(network, stride, bands)
    shapes = ((1, bands, size, size), (3, bands, 3 * stride, MIN_STRIDES * stride))
    with write_aside(path) as aside:
        with _quietly():
            write(program, aside, _metadata(model, stride))
            runner = load(aside)
        difference = max(_difference(runner, network, shape) for shape in shapes)
        num_bytes = aside.stat().st_size
    return ExportReport(path, num_bytes, stride, shapes, difference)


def _exportable(model: LoadedModel) -> tuple[nn.Module, int, int]:
    """Network, stride and bands."""
    stride = getattr(model.network, "stride", None)
    if model.network is None or not isinstance(stride, int):
        raise ModelError(
            f"{model.name} cannot be exported: it has no network that makes an SR image of an enlarged LR image.",
            "Choose a student, e.g. slimdiffsr.",
        )
    return copy.deepcopy(model.network).float().cpu().eval(), stride, int(model.architecture.get("bands", 3))


def _format(path: Path) -> tuple[Callable[[torch.export.ExportedProgram, Path, str], None], Callable[[Path], Runner]]:
    """How files of this name are written and loaded again."""
    if path.suffix == ".pt2":
        return _write_pt2, _load_pt2
    if path.suffix == ".onnx":
        _require_onnx()
        return _write_onnx, _load_onnx
    raise ModelError(f"The format of {path} is unknown.", "Let its name end .onnx or .pt2.")


def _traced(network: nn.Module, stride: int, bands: int) -> torch.export.ExportedProgram:
    side = MIN_STRIDES * stride
    example = torch.zeros(2, bands, side, side + stride)
    open_dims = {
        0: torch.export.Dim("batch"),
        2: stride * torch.export.Dim("rows", min=MIN_STRIDES),
        3: stride * torch.export.Dim("columns", min=MIN_STRIDES),
    }
    with torch.no_grad(), _quietly():
        return torch.export.export(network, (example,), dynamic_shapes=(open_dims,))


def _metadata(model: LoadedModel, stride: int) -> str:
    facts = {
        "model": model.name,
        "input": f"{INPUT_NAME}: LR images at the target size, enlarged bicubically (a = -0.75, half-pixel centres)",
        "output": f"{OUTPUT_NAME}: SR images of the same size, not clamped",
        "value_range": [-1, 1],
        "stride": stride,
        "min_side": MIN_STRIDES * stride,
        "card": model.card.model_dump(mode="json") if model.card else None,
    }
    return json.dumps(facts, indent=1)


def _write_pt2(program: torch.export.ExportedProgram, path: Path, metadata: str) -> None:
    torch.export.save(program, path, extra_files={f"{METADATA_KEY}.json": metadata})


def _load_pt2(path: Path) -> Runner:
    return torch.export.load(path).module()


def _write_onnx(program: torch.export.ExportedProgram, path: Path, metadata: str) -> None:
    converted = torch.onnx.export(
        program,
        input_names=[INPUT_NAME],
        output_names=[OUTPUT_NAME],
        opset_version=_OPSET,
        dynamo=True,
        verbose=False,
    )
    if converted is None:
        raise ModelError("PyTorch converted nothing to ONNX.", "Export to .pt2 instead.")
    converted.model.metadata_props[METADATA_KEY] = metadata
    converted.save(path, external_data=False)


def _load_onnx(path: Path) -> Runner:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(x: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT_NAME], {INPUT_NAME: x.numpy()})[0])

    return run


def _require_onnx() -> None:
    try:
        import onnxruntime  # noqa: F401  # whether it is there is the question
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ModelError(
            f"ONNX files need packages that are not installed ({error}).", "Run pip install 'rssr[export]'."
        ) from None


def _difference(runner: Runner, network: nn.Module, shape: tuple[int, ...]) -> float:
    """Largest absolute difference on one random input.

    Raises:
        ModelError: It is beyond the tolerance.
    """
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        expected = network(x)
        found = runner(x)
    difference = float((found - expected).abs().max())
    if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
        raise ModelError(
            f"The exported network is off by {difference:.2g} on an input of {list(shape)}; nothing was written.",
            "Report this with the versions of torch and onnxruntime.",
        )
    return difference


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporters' remarks on their own workings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
