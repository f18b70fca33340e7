"""The files that learned metrics need: whose they are, where they are looked for, and what fetches them.

Nothing here imports PyTorch or pyiqa, so that a job can tell what is missing before anything is computed.
"""

import importlib.util
import json
import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from rssr.metrics.spec import metric_spec
from rssr.weights.missing import MissingWeights

FOLDER_VARIABLE = "RSSR_METRIC_WEIGHTS"
INSTALL_COMMAND = "pip install 'rssr[eval]'"
_HOSTED = "as hosted by pyiqa's authors CC-BY-NC-SA-4.0"


@dataclass(frozen=True)
class WeightFile:
    """A file as its authors or pyiqa publish it.

    Attributes:
        name: Its name.
        origin: Whose it is.
        licence: SPDX identifier, or in words.
    """

    name: str
    origin: str
    licence: str


ALEXNET = WeightFile("alexnet-owt-7be5be79.pth", "torchvision's AlexNet, trained on ImageNet", "BSD-3-Clause")
VGG16 = WeightFile("vgg16-397923af.pth", "torchvision's VGG-16, trained on ImageNet", "BSD-3-Clause")
LPIPS_LINEAR = WeightFile("LPIPS_v0.1_alex-df73285e.pth", "LPIPS's authors", f"BSD-2-Clause; {_HOSTED}")
DISTS_WEIGHTS = WeightFile("DISTS_weights-f5e65c96.pth", "DISTS's authors", f"MIT; {_HOSTED}")
MANIQA_KONIQ = WeightFile("ckpt_koniq10k.pt", "MANIQA's authors, trained on KonIQ-10k", f"Apache-2.0; {_HOSTED}")
MUSIQ_KONIQ = WeightFile(
    "musiq_koniq_ckpt-e95806b9.pth", "MUSIQ's authors, trained on KonIQ-10k", f"Apache-2.0; {_HOSTED}"
)
NIQE_PRISTINE = WeightFile(
    "niqe_modelparameters.mat", "LIVE, the University of Texas at Austin", f"free with LIVE's notice; {_HOSTED}"
)
# The authors publish a program beside the tensors (TorchScript), which is not run here. Fetching it takes them out.
CLIP_RN50 = WeightFile("clip_rn50.safetensors", "OpenAI's CLIP RN50", "MIT")
INCEPTION = WeightFile(
    "pt_inception-2015-12-05-6726825d.pth", "TensorFlow's Inception of 2015-12-05", f"Apache-2.0; {_HOSTED}"
)

WEIGHT_FILES: Mapping[str, WeightFile] = MappingProxyType(
    {
        file.name: file
        for file in (
            *(ALEXNET, VGG16, LPIPS_LINEAR, DISTS_WEIGHTS, MANIQA_KONIQ),
            *(MUSIQ_KONIQ, NIQE_PRISTINE, CLIP_RN50, INCEPTION),
        )
    }
)
"""By name."""


def metric_weights_folder(folder: str | Path | None = None) -> Path:
    """Where weights of metrics are looked for.

    Args:
        folder: As configured. None: $RSSR_METRIC_WEIGHTS, or else `rssr/metrics` in $XDG_DATA_HOME, which is
            ~/.local/share where it is not set.
    """
    given = folder or os.environ.get(FOLDER_VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    data = os.environ.get("XDG_DATA_HOME", "")
    # The standard has relative paths ignored.
    home = Path(data) if Path(data).is_absolute() else Path.home() / ".local" / "share"
    return home / "rssr" / "metrics"


def fetch_command(names: Iterable[str], folder: Path) -> str:
    """What fetches the weights of metrics into a folder, on a machine with a network and rssr[eval]."""
    listed, place = (json.dumps(value, ensure_ascii=False) for value in (list(names), str(folder)))
    code = f"from rssr.metrics.perceptual import fetch_weights; fetch_weights({listed}, {place})"
    return f"python -c {shlex.quote(code)}"


def find_missing(names: Iterable[str], folder: str | Path | None = None) -> dict[str, MissingWeights]:
    """Find out at once which metrics cannot be had, and why.

    Args:
        names: Metrics; those that need no weights are never missing.
        folder: As `metric_weights_folder` takes it.

    Returns:
        By metric: the files (and the package) that are not there, the folder that was searched, and what fetches them.

    Raises:
        ConfigError: A name is no metric's.
    """
    place = metric_weights_folder(folder)
    found = {name: _missing(name, place) for name in names}
    return {name: missing for name, missing in found.items() if missing is not None}


def _missing(name: str, folder: Path) -> MissingWeights | None:
    spec = metric_spec(name)
    files = [file for file in spec.weights if not (folder / file).is_file()]
    is_uninstalled = bool(spec.package) and importlib.util.find_spec("pyiqa") is None
    if not files and not is_uninstalled:
        return None
    commands = [INSTALL_COMMAND] * is_uninstalled + [fetch_command([name], folder)] * bool(files)
    places = ["pyiqa is not installed"] * is_uninstalled + [f"not in {folder}"] * bool(files)
    return MissingWeights(
        name=", ".join([f"package {spec.package}"] * is_uninstalled + files),
        place="; ".join(places),
        command=" && ".join(commands),
        setting=f"metrics.weights={folder}",
        instead=f"take {name} out of metrics.names",
    )
