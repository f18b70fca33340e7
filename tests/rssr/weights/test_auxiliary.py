"""Random weights stand for the published ones: what is tested is the arithmetic and the layouts."""

import hashlib
import re
import shlex
from pathlib import Path

import lpips
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from rssr.errors import WeightsError
from rssr.losses.adversarial import Discriminator
from rssr.weights.auxiliary import (
    DINO_FILE,
    LPIPS_FILE,
    VGG_FILE,
    auxiliary_digests,
    find_missing_auxiliary,
    load_discriminator,
    load_lpips,
)

FILES = (VGG_FILE, LPIPS_FILE, DINO_FILE)


@pytest.fixture(scope="module")
def published_lpips() -> lpips.LPIPS:
    """The lpips package's network with random weights, whose linear ones are not negative (as the published)."""
    torch.manual_seed(2)
    network = lpips.LPIPS(net="vgg", pretrained=False, pnet_rand=True, verbose=False)
    for layer in network.lins:
        layer.model[1].weight.data.abs_()
    return network


@pytest.fixture(scope="module")
def published_vit() -> torch.nn.Module:
    torch.manual_seed(3)
    vit: torch.nn.Module = timm.create_model("vit_small_patch16_224.dino", pretrained=False)
    return vit.eval()


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, published_lpips: lpips.LPIPS, published_vit: torch.nn.Module
) -> str:
    """The three files in the layouts in which they are published."""
    folder = tmp_path_factory.mktemp("auxiliary")
    state = published_lpips.state_dict()
    convolutions = {
        re.sub(r"net\.slice\d\.", "features.", name): value for name, value in state.items() if name.startswith("net.")
    }
    # torchvision's file also holds a classifier, which LPIPS does not read.
    save_file({**convolutions, "classifier.6.bias": torch.zeros(1000)}, folder / VGG_FILE)
    save_file({f"lin{i}.model.1.weight": state[f"lin{i}.model.1.weight"] for i in range(5)}, folder / LPIPS_FILE)
    save_file(published_vit.state_dict(), folder / DINO_FILE)
    return str(folder)


@pytest.fixture(scope="module")
def discriminator(folder: str) -> Discriminator:
    torch.manual_seed(4)
    return load_discriminator(folder)


def copy_without(folder: str, tmp_path: Path, file: str) -> Path:
    """A folder with links to all files but one."""
    for name in FILES:
        if name != file:
            (tmp_path / name).symlink_to(Path(folder) / name)
    return tmp_path


def without_tensor(folder: str, tmp_path: Path, file: str, key: str, shape: tuple[int, ...] | None) -> str:
    """A copy in which one tensor is missing, or has another shape."""
    target = copy_without(folder, tmp_path, file)
    state = load_file(Path(folder) / file)
    state.pop(key)
    save_file(state if shape is None else {**state, key: torch.zeros(shape)}, target / file)
    return str(target)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 50), (16, 16)])
def test_lpips_equals_the_published_package(
    folder: str, published_lpips: lpips.LPIPS, generator: torch.Generator, height: int, width: int
) -> None:
    first, second = torch.rand(2, 2, 3, height, width, generator=generator) * 2 - 1
    ours = load_lpips(folder)(first, second)
    with torch.no_grad():
        theirs = published_lpips(first, second).reshape(-1)
    assert float(theirs.min()) > 1e-3
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_lpips_is_frozen(folder: str) -> None:
    metric = load_lpips(folder)
    assert not metric.training
    assert not any(p.requires_grad for p in metric.parameters())


def test_features_are_dinos_at_several_depths(
    discriminator: Discriminator, published_vit: torch.nn.Module, generator: torch.Generator
) -> None:
    """At DINO's own size the maps are its blocks' outputs, without the class token, in rows and columns."""
    image = torch.randn(1, 3, 224, 224, generator=generator)
    outputs: list[Tensor] = []
    for depth in (2, 5, 8, 11):
        block = published_vit.get_submodule(f"blocks.{depth}")
        block.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    with torch.no_grad():
        published_vit(image)
        maps = discriminator.extractor(image)
    assert len(maps) == len(outputs) == 4
    for found, tokens in zip(maps, outputs, strict=True):
        torch.testing.assert_close(found, tokens[:, 1:].transpose(1, 2).reshape(1, 384, 14, 14), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 50), (16, 31)])
def test_any_image_size_gives_a_logit_a_token(discriminator: Discriminator, height: int, width: int) -> None:
    logits = discriminator(torch.rand(2, 3, height, width) * 2 - 1)
    assert [logit.shape for logit in logits] == [(2, 1, height // 16, width // 16)] * 4
    assert all(logit.isfinite().all() for logit in logits)


def test_only_the_heads_of_the_discriminator_are_trained(discriminator: Discriminator) -> None:
    trained = [name for name, p in discriminator.named_parameters() if p.requires_grad]
    assert trained
    assert all(name.startswith("heads.") for name in trained)


def test_dino_weights_reach_the_extractor(discriminator: Discriminator, published_vit: torch.nn.Module) -> None:
    own = discriminator.extractor.state_dict()
    for name, value in published_vit.state_dict().items():
        assert torch.equal(own[f"vit.{name}"], value), name


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named_with_the_command_that_fetches_it(folder: str, tmp_path: Path, file: str) -> None:
    incomplete = copy_without(folder, tmp_path, file)
    with pytest.raises(WeightsError) as raised:
        load_discriminator(str(incomplete)) if file == DINO_FILE else load_lpips(str(incomplete))
    assert str(incomplete / file) in raised.value.problem
    key = "gan_weight" if file == DINO_FILE else "lpips_weight"
    assert key in raised.value.problem
    assert f"set {key} to 0" in raised.value.remedy
    program, option, code = fetching_command(raised.value)
    assert (program, option) == ("python", "-c")
    compile(code, "command", "exec")
    assert str(incomplete / file) in code


def fetching_command(error: WeightsError) -> list[str]:
    text = error.remedy.partition("run: ")[2].partition(" ; then")[0]
    return shlex.split(text)


def test_the_command_for_lpips_writes_what_is_read(folder: str, tmp_path: Path) -> None:
    """The package ships its linear weights, so that this command alone runs without a network."""
    incomplete = copy_without(folder, tmp_path, LPIPS_FILE)
    with pytest.raises(WeightsError) as raised:
        load_lpips(str(incomplete))
    exec(fetching_command(raised.value)[2], {})
    assert load_file(incomplete / LPIPS_FILE).keys() == {f"lin{i}.model.1.weight" for i in range(5)}
    image = torch.rand(1, 3, 32, 32)
    assert float(load_lpips(str(incomplete))(image, 1 - image)) > 0


def test_all_missing_files_are_found_at_once_where_a_loss_needs_them(folder: str, tmp_path: Path) -> None:
    assert find_missing_auxiliary(folder, 2.5, 0.25) == []
    assert find_missing_auxiliary(None, 0, 0) == []
    absent = str(tmp_path / "nowhere")
    found = find_missing_auxiliary(absent, 2.5, 0.25)
    assert [item.name for item in found] == list(FILES)
    assert {(item.place, item.setting) for item in found} == {(f"not in {absent}", f"base_weights.auxiliary={absent}")}
    assert [item.instead for item in found] == ["set lpips_weight to 0"] * 2 + ["set gan_weight to 0"]
    make, *others = [item.command.partition("python -c ")[0] for item in found]
    assert (make, others) == (f"mkdir -p {absent} && ", ["", ""])  # the commands write into it one after another
    assert [item.name for item in find_missing_auxiliary(str(copy_without(folder, tmp_path, DINO_FILE)), 1, 1)] == [
        DINO_FILE
    ]
    assert find_missing_auxiliary(None, 1, 0)[0].place == "base_weights.auxiliary is not set"


def test_an_unset_directory_is_explained() -> None:
    with pytest.raises(WeightsError, match=r"vgg16\.safetensors, but base_weights\.auxiliary is not set"):
        load_lpips(None)
    with pytest.raises(WeightsError, match=r"dino_vits16\.safetensors, but base_weights\.auxiliary is not set"):
        load_discriminator(None)


@pytest.mark.parametrize(
    ("file", "key", "shape"),
    [
        (VGG_FILE, "features.17.weight", None),
        (VGG_FILE, "features.17.weight", (512, 256, 1, 1)),
        (LPIPS_FILE, "lin3.model.1.weight", None),
        (LPIPS_FILE, "lin3.model.1.weight", (1, 64, 1, 1)),
        (DINO_FILE, "blocks.4.attn.qkv.weight", None),
        (DINO_FILE, "pos_embed", (1, 50, 384)),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    folder: str, tmp_path: Path, file: str, key: str, shape: tuple[int, ...] | None
) -> None:
    damaged = without_tensor(folder, tmp_path, file, key, shape)
    with pytest.raises(WeightsError, match=re.escape(file)):
        load_discriminator(damaged) if file == DINO_FILE else load_lpips(damaged)


def test_a_damaged_file_is_refused(folder: str, tmp_path: Path) -> None:
    damaged = copy_without(folder, tmp_path, VGG_FILE) / VGG_FILE
    damaged.write_bytes((Path(folder) / VGG_FILE).read_bytes()[:1000])
    with pytest.raises(WeightsError, match="cannot be read"):
        load_lpips(str(tmp_path))


def test_weights_are_marked_by_their_digests(folder: str, tmp_path: Path) -> None:
    expected = {name: hashlib.sha256((Path(folder) / name).read_bytes()).hexdigest() for name in FILES}
    assert auxiliary_digests(folder) == expected
    partial = copy_without(folder, tmp_path, DINO_FILE)
    (partial / "notes.txt").write_text("not one of them")
    assert auxiliary_digests(str(partial)) == {name: expected[name] for name in (VGG_FILE, LPIPS_FILE)}
    assert auxiliary_digests(None) == {}
