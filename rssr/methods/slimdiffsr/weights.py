"""Foreign weights for the student: the authors' checkpoints, and Stable Diffusion's to start from."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rssr.errors import WeightsError
from rssr.layers.separable import bottleneck_channels
from rssr.methods.slimdiffsr.architecture import LATENT_CHANNELS
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.weights.folder import save_model_folder
from rssr.weights.layout import Shape, compare_layouts, fill_network, layout_of
from rssr.weights.official import ImportOptions, ImportReport, SourceFile, file_sha256, read_checkpoint, recognise

MODEL = "slimdiffsr"

_TIME_EXPANSION = 4
_SCALE_IN_NAME = re.compile(r"(?<![0-9])([2-8])x(?![0-9a-z])|(?<![0-9a-z])x([2-8])(?![0-9])", re.IGNORECASE)


@dataclass(frozen=True)
class InitReport:
    """Where a student's initial weights came from.

    Attributes:
        retained: Names copied from the pretrained networks.
        fresh: Names that keep their random values.
    """

    retained: list[str]
    fresh: list[str]


def import_files(files: Sequence[Path], out: Path, options: ImportOptions) -> ImportReport:
    """See `import_slimdiffsr`.

    Raises:
        WeightsError: Also if there is not exactly one file, or an option is another format's.
    """
    if len(files) != 1:
        raise WeightsError(f"Format 'slimdiffsr' takes one file, not {len(files)}.", "Give FILE OUT.")
    if options != ImportOptions(norm_num_groups=options.norm_num_groups):
        raise WeightsError(
            "SlimDiffSR has no moving average, no head width and no kind of prediction to choose.",
            "Leave out --raw-weights, --head-channels and --prediction.",
        )
    return import_slimdiffsr(files[0], out, options.norm_num_groups)


def import_slimdiffsr(file: Path, out: Path, norm_num_groups: int = 32) -> ImportReport:
    """Turn an authors' checkpoint (`net_params_4x.pkl`, `net_params_8x.pkl`) into a model folder.

    Widths and depths are read from the shapes; the scale, which the network does not know, from the file's name.

    Args:
        file: `torch.save` archive or safetensors file, with or without `module.` and the usual wrappers.
        out: Model folder to write.
        norm_num_groups: Groups of every GroupNorm: the one value that no shape shows (published: 32).

    Raises:
        WeightsError: If it is another method's checkpoint, or any tensor is missing, unexpected or mis-shaped.
    """
    state = read_checkpoint(Path(file))
    title = recognise(state)
    if title != "SlimDiffSR's student":
        raise WeightsError(f"{file} is no SlimDiffSR checkpoint; by its names it is {title}.", "Check the file.")
    student = _student_like(state, norm_num_groups, str(file))
    unused_layout = unused_official_tensors(student)
    unused = tuple(name for name in state if name in unused_layout)
    _check_unused({name: state[name] for name in unused}, unused_layout, str(file))
    live = {name: value for name, value in state.items() if name not in unused_layout}
    fill_network(student, live, str(file))
    _write_folder(student, Path(file), Path(out))
    return ImportReport(
        model=MODEL,
        sources=(SourceFile(Path(file), file_sha256(Path(file))),),
        folder=Path(out),
        architecture=student.architecture,
        num_tensors=len(live),
        num_parameters=sum(value.numel() for value in live.values()),
        unused=unused,
        num_unused_parameters=sum(state[name].numel() for name in unused),
    )


def unused_official_tensors(student: SlimDiffSR) -> dict[str, Shape]:
    """Names and shapes that the authors' checkpoints hold although no forward pass reads them."""
    width, code = student.block_channels[0], student.values.taesd_channels
    inner, encoder = _TIME_EXPANSION * width, student.values.num_encoder_blocks
    last = sum(encoder) + len(encoder)  # one plain convolution starts every stage
    return {
        "unet.conv_in.weight": (width, LATENT_CHANNELS, 3, 3),
        "unet.conv_in.bias": (width,),
        "unet.time_embedding.linear_1.weight": (inner, width),
        "unet.time_embedding.linear_1.bias": (inner,),
        "unet.time_embedding.linear_2.weight": (inner, inner),
        "unet.time_embedding.linear_2.bias": (inner,),
        "unet.conv_out.weight": (LATENT_CHANNELS, width, 3, 3),
        "unet.conv_out.bias": (LATENT_CHANNELS,),
        f"vae.encoder.layers.{last}.weight": (LATENT_CHANNELS, code, 3, 3),
        f"vae.encoder.layers.{last}.bias": (LATENT_CHANNELS,),
        "vae.decoder.layers.0.weight": (code, LATENT_CHANNELS, 3, 3),
        "vae.decoder.layers.0.bias": (code,),
    }


def student_from_diffusers(
    unet_state: Mapping[str, Tensor], autoencoder_state: Mapping[str, Tensor], student: SlimDiffSR
) -> InitReport:
    """Start the retained modules of a student from pretrained weights (section 3.3).

    Modules are matched by name: the UNet's shallow levels keep theirs, its deepest retained up level is the
    original's third of four, and the middle starts as the first residual block of the first level that was pruned.
    What is new (FSC, DSC, QGAM, merge convolutions) or of another shape keeps its random values; so does the whole
    U-Net of a student at three quarters of the widths.

    Args:
        unet_state: Names as in diffusers' UNet2DConditionModel.
        autoencoder_state: Names as in its AutoencoderTiny (TAESD), or in its AutoencoderKL for a student with one.
        student: Changed in place.
    """
    sources = dict(_sources(unet_state, autoencoder_state, student))
    report = InitReport([], [])
    with torch.no_grad():
        for name, value in student.state_dict().items():
            source = sources.get(name)
            if source is not None and source.shape == value.shape:
                value.copy_(source)
                report.retained.append(name)
            else:
                report.fresh.append(name)
    return report


def _sources(
    unet: Mapping[str, Tensor], autoencoder: Mapping[str, Tensor], student: SlimDiffSR
) -> Iterator[tuple[str, Tensor]]:
    """Pretrained tensors under the student's names."""
    depth = len(student.block_channels)
    num_levels = 1 + max((int(name.split(".")[1]) for name in unet if name.startswith("up_blocks.")), default=-1)
    pruned_up_levels = max(0, num_levels - depth)
    for name, value in unet.items():
        part, _, rest = name.partition(".")
        index, _, tail = rest.partition(".")
        if part == "up_blocks":
            yield f"unet.up_blocks.{int(index) - pruned_up_levels}.{tail}", value
            continue
        yield f"unet.{name}", value
        if name.startswith(f"down_blocks.{depth}.resnets.0."):
            yield f"unet.mid_block.mid_block.{name.removeprefix(f'down_blocks.{depth}.resnets.0.')}", value
    yield from ((f"vae.{name}", value) for name, value in autoencoder.items())


def _check_unused(found: Mapping[str, Tensor], expected: Mapping[str, Shape], source: str) -> None:
    difference = compare_layouts({name: expected[name] for name in found}, layout_of(found))
    if difference:
        raise WeightsError(f"The weights in {source} do not fit SlimDiffSR: {difference}.", "Fetch them again.")


def _student_like(state: Mapping[str, Tensor], norm_num_groups: int, source: str) -> SlimDiffSR:
    """A student whose widths and depths are those of a checkpoint, in eval mode."""
    try:
        architecture = _read_shapes(state)
    except KeyError as error:
        raise WeightsError(
            f"The weights in {source} are incomplete: {error.args[0]} is missing.", "Fetch them again."
        ) from None
    with torch.random.fork_rng(devices=[]):  # random weights that are overwritten must not move anyone's generator
        return SlimDiffSR(norm_num_groups=norm_num_groups, **architecture).eval()


def _read_shapes(state: Mapping[str, Tensor]) -> dict[str, object]:
    levels = _numbers(state, r"unet\.down_blocks\.(\d+)\.")
    first = "unet.down_blocks.0"
    token_block = f"{first}.attentions.0.transformer_blocks.0.attn1"
    convolutions = f"{first}.resnets.0"
    width = state[f"{convolutions}.norm2.weight"].shape[0]
    fsc, dsc = state[f"{convolutions}.conv1.bottleneck.0.weight"], state[f"{convolutions}.conv2.conv_reduce.weight"]
    return {
        "block_channels": [state[f"unet.down_blocks.{i}.resnets.0.norm2.weight"].shape[0] for i in levels],
        "mid_channels": state["unet.mid_block.mid_block.norm2.weight"].shape[0],
        "layers_per_block": len(_numbers(state, r"unet\.down_blocks\.0\.resnets\.(\d+)\.")),
        "taesd_channels": state["merge_conv1.weight"].shape[1],
        "num_encoder_blocks": _block_counts(state, "vae.encoder.layers."),
        "num_decoder_blocks": _block_counts(state, "vae.decoder.layers."),
        "num_queries": state[f"{token_block}.query"].shape[0],
        "query_channels": state[f"{token_block}.q_proj.weight"].shape[0],
        "fsc_rate": _rate(fsc.shape[0], width),
        "dsc_rate": _rate(dsc.shape[0], width),
        "bands": state["vae.encoder.layers.0.weight"].shape[1],
    }


def _block_counts(state: Mapping[str, Tensor], prefix: str) -> list[int]:
    """Blocks of each stage: stages are parted by the convolutions without bias, which change the size."""
    counts = [0]
    for number in _numbers(state, re.escape(prefix) + r"(\d+)\."):
        if f"{prefix}{number}.conv.0.weight" in state:
            counts[-1] += 1
        elif f"{prefix}{number}.bias" not in state:
            counts.append(0)
    return counts


def _numbers(state: Mapping[str, Tensor], pattern: str) -> list[int]:
    found = (re.match(pattern, name) for name in state)
    return sorted({int(match.group(1)) for match in found if match})


def _rate(hidden: int, width: int) -> float:
    """The published rate where it explains the width, else the plain ratio."""
    return 0.25 if bottleneck_channels(width, 0.25) == hidden else hidden / width


def _write_folder(student: SlimDiffSR, file: Path, out: Path) -> None:
    from rssr.card import ModelCard  # here, because the card alone needs pydantic and YAML

    named = _SCALE_IN_NAME.search(file.stem)
    scale = float(named.group(1) or named.group(2)) if named else None
    names = (
        ["red", "green", "blue"]
        if student.values.bands == 3
        else [f"band_{i + 1}" for i in range(student.values.bands)]
    )
    card = ModelCard(
        name=f"slimdiffsr-x{scale:g}-official" if scale else "slimdiffsr-official",
        method=MODEL,
        architecture=f"SlimDiffSR student, levels {list(student.block_channels)}, middle {student.mid_channels}",
        bands=names,
        scale_range=(scale, scale) if scale else (4.0, 8.0),
        color_match="authors",
        licence="not stated in the checkpoint; see the authors' repository",
        notes=f"Imported from {file.name}. Trained on AID with synthetic degradation; the list of images is unknown.",
        unofficial_weights=False,
    )
    save_model_folder(out, MODEL, student.architecture, student, card)
