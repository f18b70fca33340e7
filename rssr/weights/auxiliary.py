"""The one door to networks that losses need: VGG-16 and LPIPS's linear weights, DINO ViT-S/16.

Files are safetensors in one directory (`base_weights.auxiliary`), under the layouts in which they are published.
A loss weight above 0 whose file is absent is an error, never a silent skip.
"""

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from rssr.errors import WeightsError
from rssr.losses.adversarial import Discriminator
from rssr.losses.lpips import LPIPS
from rssr.weights.missing import MissingWeights

VGG_FILE = "vgg16.safetensors"
LPIPS_FILE = "lpips_vgg.safetensors"
DINO_FILE = "dino_vits16.safetensors"
_COMMANDS = {
    VGG_FILE: 'python -c "import torchvision, safetensors.torch as s; '
    "s.save_file(torchvision.models.vgg16(weights='IMAGENET1K_V1').state_dict(), '{path}')\"",
    LPIPS_FILE: 'python -c "import lpips, safetensors.torch as s; '
    "w = lpips.LPIPS(net='vgg', pnet_rand=True).state_dict(); "
    "s.save_file({{k: w[k] for k in w if k[:3] == 'lin' and k[3].isdigit()}}, '{path}')\"",
    DINO_FILE: 'python -c "import timm, safetensors.torch as s; '
    "s.save_file(timm.create_model('vit_small_patch16_224.dino', pretrained=True).state_dict(), '{path}')\"",
}
DINO_DEPTHS = (2, 5, 8, 11)
DINO_WIDTH = 384


class DinoFeatures(nn.Module):
    """Token maps of DINO's ViT-S/16 at several depths."""

    def __init__(self, vit: nn.Module) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps [B, 384, H/16, W/16]; H and W are multiples of 16 (others are cut)."""
        height, width = image.shape[-2] // 16 * 16, image.shape[-1] // 16 * 16
        maps: list[Tensor] = self.vit.get_intermediate_layers(  # type: ignore[operator]  # timm's method, untyped
            image[..., :height, :width], n=DINO_DEPTHS, reshape=True, norm=False
        )
        return list(maps)


def load_lpips(folder: str | None) -> LPIPS:
    """LPIPS with weights from torchvision's VGG-16 layout and the lpips package's linear layout."""
    vgg = _read(folder, VGG_FILE, "lpips_weight")
    linear = _read(folder, LPIPS_FILE, "lpips_weight")
    lpips = create_lpips()
    state = {name: value for name, value in vgg.items() if name.startswith("features.")}
    for index in range(len(lpips.linear)):
        key = f"lin{index}.model.1.weight"
        if key not in linear:
            raise WeightsError(f"{LPIPS_FILE} in {folder} has no tensor '{key}'.", "Fetch the file again.")
        state[f"linear.{index}"] = linear[key]
    _fill(lpips, state, f"{VGG_FILE} and {LPIPS_FILE} in {folder}")
    return lpips


def create_lpips() -> LPIPS:
    """LPIPS with random weights."""
    return LPIPS().requires_grad_(False).eval()


def load_discriminator(folder: str | None) -> Discriminator:
    """A discriminator with fresh heads on DINO's frozen features."""
    state = _read(folder, DINO_FILE, "gan_weight")
    discriminator = create_discriminator()
    _fill(discriminator.extractor.get_submodule("vit"), state, f"{DINO_FILE} in {folder}")
    return discriminator


def create_discriminator() -> Discriminator:
    """A discriminator whose frozen features are random too."""
    import timm

    vit = timm.create_model("vit_small_patch16_224", pretrained=False, num_classes=0, dynamic_img_size=True)
    return Discriminator(DinoFeatures(vit), DINO_WIDTH, len(DINO_DEPTHS))


def find_missing_auxiliary(folder: str | None, lpips_weight: float, gan_weight: float) -> list[MissingWeights]:
    """Find out at once which of the files that the losses will load are missing."""
    found: list[MissingWeights] = []
    for name, key, weight in (
        (VGG_FILE, "lpips_weight", lpips_weight),
        (LPIPS_FILE, "lpips_weight", lpips_weight),
        (DINO_FILE, "gan_weight", gan_weight),
    ):
        path = _path(folder, name)
        if weight > 0 and (folder is None or not path.is_file()):
            place = "base_weights.auxiliary is not set" if folder is None else f"not in {path.parent}"
            setting = f"base_weights.auxiliary={path.parent}"
            first = f"mkdir -p {path.parent} && " if not found and not path.parent.is_dir() else ""
            found.append(MissingWeights(name, place, first + _command(path), setting, f"set {key} to 0"))
    return found


def auxiliary_digests(folder: str | None) -> dict[str, str]:
    """SHA-256 of each auxiliary file that is present, by file name.

    A run records these, so that results judged by other weights than the published ones can be told apart.
    """
    if folder is None:
        return {}
    present = (Path(folder) / name for name in _COMMANDS)
    return {path.name: _sha256(path) for path in present if path.is_file()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require(folder: str | None, name: str, key: str) -> Path:
    path = _path(folder, name)
    if folder is None or not path.is_file():
        where = "base_weights.auxiliary is not set" if folder is None else f"{path} does not exist"
        remedy = f"On a machine with a network run: {_command(path)} ; then set base_weights.auxiliary={path.parent}."
        raise WeightsError(f"A loss with {key} above 0 needs {name}, but {where}.", f"{remedy} Or set {key} to 0.")
    return path


def _read(folder: str | None, name: str, key: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = _require(folder, name, key)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read: {error}.", f"Fetch it again: {_command(path)}") from None


def _path(folder: str | None, name: str) -> Path:
    """Where a file lies, or where its command shall put it."""
    return Path(folder or "auxiliary-weights") / name


def _command(path: Path) -> str:
    return _COMMANDS[path.name].format(path=path)


def _fill(module: nn.Module, state: dict[str, Tensor], source: str) -> None:
    expected = module.state_dict()
    missing = sorted(expected.keys() - state.keys())
    wrong = sorted(k for k in expected.keys() & state.keys() if expected[k].shape != state[k].shape)
    if missing or wrong:
        raise WeightsError(f"{source}: missing tensors {missing[:5]}, mis-shaped {wrong[:5]}.", "Fetch the file again.")
    with torch.no_grad():
        module.load_state_dict({name: state[name] for name in expected})
