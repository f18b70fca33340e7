"""Networks of metrics filled from local files, which are read without running anything in them."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn

from rssr.errors import ConfigError, WeightsError
from rssr.metrics.perceptual.networks import build_network, part_with_weights
from rssr.metrics.spec import metric_spec
from rssr.metrics.weight_files import fetch_command, find_missing, metric_weights_folder
from rssr.weights.layout import compare_layouts, layout_of
from rssr.weights.missing import weights_error
from rssr.weights.official import read_checkpoint

# Where a network's tensors have other names in the files: (pattern, replacement) by metric.
_NAMES_IN_FILES: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "lpips": ((r"^net\.slice\d\.", "features."), (r"^lins\.(\d)\.", r"lin\1.")),
        "dists": ((r"^stage\d\.", "features."),),
    }
)
# Constants that networks carry as buffers and files leave out.
_CONSTANTS = re.compile(r"^scaling_layer\.|^mean$|^std$|^stage\d\.\d+\.filter$|\.num_batches_tracked$")
_NUM_NIQE_FEATURES = 36  # 18 at each of two scales


def load_network(name: str, folder: str | Path | None = None) -> nn.Module:
    """The network of a metric, filled from local files, on the CPU, frozen; nothing is ever fetched.

    Args:
        name: A metric of pyiqa. `fid` and `kid` share Inception.
        folder: With the files; None looks where `metric_weights_folder` says.

    Raises:
        ConfigError: The metric needs no weights, or there is none of this name.
        WeightsError: Files or pyiqa are missing, or a file is damaged or another metric's; says what to do.
    """
    spec, place = metric_spec(name), metric_weights_folder(folder)
    if not spec.weights:
        raise ConfigError(f"'{name}' is measured without weights.")
    missing = find_missing([name], place)
    if missing:
        raise weights_error(list(missing.values()))
    files = [place / file for file in spec.weights]
    try:
        return _load_niqe(files[0]) if name == "niqe" else _load(name, files)
    except WeightsError as error:
        listed, command = " and ".join(map(str, files)), fetch_command([name], place)
        remedy = f"Delete {listed}, then on a machine with a network run {command}"
        raise WeightsError(f"The weights of {spec.title} do not serve: {error.problem}", remedy) from None


def _load(name: str, files: list[Path]) -> nn.Module:
    state = {key: value for file in files for key, value in read_checkpoint(file).items()}
    network = build_network(name)
    part = part_with_weights(network)
    own = part.state_dict()
    # Files hold more than is needed, e.g. a backbone's classifier. Names that are wanted must all be there.
    names = {key: _name_in_file(name, key) for key in own}
    found = {key: state[old] for key, old in names.items() if old in state}
    wanted = {key: value for key, value in own.items() if key in found or not _CONSTANTS.search(key)}
    difference = compare_layouts(layout_of(wanted), layout_of(found))
    if difference:
        raise WeightsError(f"In {' and '.join(map(str, files))} tensors differ from the network's: {difference}.")
    part.load_state_dict({**own, **found})
    return network


def _name_in_file(metric: str, name: str) -> str:
    for pattern, replacement in _NAMES_IN_FILES.get(metric, ()):
        name = re.sub(pattern, replacement, name)
    return name


def _load_niqe(file: Path) -> nn.Module:
    """NIQE has no network but the mean and covariance of features of pristine images, in a MATLAB file."""
    from pyiqa.archs.niqe_arch import NIQE
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    options = {key: value for key, value in DEFAULT_CONFIGS["niqe"]["metric_opts"].items() if key != "type"}
    try:
        network: nn.Module = NIQE(**options, pretrained_model_path=str(file))
    except Exception as error:  # a garbled file makes SciPy's reader stumble in any way it can
        raise WeightsError(f"{file} cannot be read as statistics of NIQE ({type(error).__name__}).") from None
    for key, shape in (("mu", (_NUM_NIQE_FEATURES,)), ("cov", (_NUM_NIQE_FEATURES,) * 2)):
        value: Tensor = getattr(network, f"{key}_pris_param")
        if value.shape != shape or not torch.isfinite(value).all():
            raise WeightsError(f"{file} holds {key}_prisparam of {tuple(value.shape)}, not finite ones of {shape}.")
    return network.eval()
