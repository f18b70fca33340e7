"""The interpreter, the packages, PyTorch and the accelerators."""

import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from rssr.doctor.finding import DoctorOptions, Finding, failed, ok, skipped, warning

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_LEAST_PYTHON = (3, 11)  # as in pyproject.toml
_DISTRIBUTION = "rssr"
_NVIDIA_DEVICE = Path("/dev/nvidiactl")


def check_python(options: DoctorOptions, least: tuple[int, int] = _LEAST_PYTHON) -> Finding:
    """The interpreter's version."""
    found = f"{platform.python_version()} at {sys.executable}, {platform.system()} {platform.machine()}"
    if sys.version_info[:2] < least:
        wanted = ".".join(map(str, least))
        return failed("python", found, f"Make an environment with Python {wanted} or newer, and install rssr there.")
    return ok("python", found)


def check_packages(options: DoctorOptions, distribution: str = _DISTRIBUTION) -> Finding:
    """Whether all packages that rssr declares are there, in versions that it takes."""
    try:
        declared = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return warning(
            "packages",
            f"{distribution} itself is not installed, so what it needs and registers is not known",
            "Run `pip install -e .` in its folder.",
        )
    wanted = _requirements(declared)
    wrong = [problem for requirement in wanted if (problem := _problem_of(requirement))]
    if wrong:
        return failed(
            "packages", "; ".join(wrong), "Run `pip install --constraint constraints.txt .` in rssr's folder."
        )
    return ok("packages", f"{distribution} {metadata.version(distribution)}; its {len(wanted)} packages fit")


def check_torch(options: DoctorOptions) -> Finding:
    """PyTorch loads and computes."""
    import torch

    total = float((torch.ones(64, 64) @ torch.ones(64, 64)).sum())
    if total != 64**3:
        return failed("torch", f"{torch.__version__} multiplies wrongly: {total:g}", "Reinstall torch.")
    return ok("torch", f"{torch.__version__}, {torch.get_num_threads()} CPU threads")


def check_cuda(options: DoctorOptions, device_file: Path = _NVIDIA_DEVICE) -> Finding:
    """Every GPU computes; and whether one is there that PyTorch does not see."""
    import torch

    if not torch.cuda.is_available():
        if not device_file.exists():
            return skipped("cuda", "no GPU here; models run on the CPU")
        built = torch.version.cuda
        reason = f"built for CUDA {built}" if built else "built for the CPU only"
        return warning(
            "cuda",
            f"there is an NVIDIA driver, but PyTorch ({torch.__version__}, {reason}) cannot use it",
            "Install a torch for the CUDA that `nvidia-smi` names, or an older one; look at CUDA_VISIBLE_DEVICES too.",
        )
    try:
        names = [_try_gpu(index) for index in range(torch.cuda.device_count())]
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        return failed(
            "cuda", f"a GPU does not compute: {reason}", "Look at `nvidia-smi`: is it in use, or its driver old?"
        )
    return ok("cuda", f"CUDA {torch.version.cuda}: {', '.join(names)}")


def _try_gpu(index: int) -> str:
    """Name and memory of a GPU that has just multiplied; raises what PyTorch raises where it cannot."""
    import torch

    device = f"cuda:{index}"
    (torch.ones(64, 64, device=device) @ torch.ones(64, 64, device=device)).sum().item()
    free, total = torch.cuda.mem_get_info(index)
    return f"{torch.cuda.get_device_name(index)}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free"


def _requirements(declared: list[str]) -> list["Requirement"]:
    """Those of them that hold here, extras left out."""
    from packaging.requirements import Requirement

    parsed = [Requirement(text) for text in declared]
    return [item for item in parsed if item.marker is None or item.marker.evaluate({"extra": ""})]


def _problem_of(requirement: "Requirement") -> str:
    """What is wrong with one package; empty where nothing is."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return ""
    return f"{requirement.name} is {version}, but {requirement.specifier} is needed"
