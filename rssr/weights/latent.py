"""Published checkpoints of LDCSR and LCMSR, in two stages, become model folders; every name is accounted for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rssr.errors import WeightsError
from rssr.models.latent.architecture import LatentArchitecture, read_latent_architecture
from rssr.models.latent.autoencoder import ResidualAutoencoder
from rssr.models.latent.layout import (
    AVERAGE_PREFIX,
    FIRST_STAGE_PREFIX,
    LATENT_SCALING,
    SCHEDULE_BUFFERS,
    UNUSED_DECODER_TENSOR,
    autoencoder_names,
    network_names,
)
from rssr.models.latent.network import LatentSR
from rssr.weights.folder import save_model_folder
from rssr.weights.latent_shapes import read_latent_shapes, read_schedule
from rssr.weights.layout import Shape, compare_layouts, layout_of
from rssr.weights.lightning import LightningFile, read_lightning
from rssr.weights.official import ImportOptions, ImportReport, LeftOut, SourceFile, file_sha256, recognise

if TYPE_CHECKING:
    from rssr.card import ModelCard

_LOSS_PARTS = {
    "loss.perceptual_loss.": "first stage's LPIPS, for its training loss",
    "loss.discriminator.": "first stage's discriminator, for its training loss",
    "loss.logvar": "first stage's variance of its training loss",
}
_SECOND = "'s second stage"
_MAX_PARAMETERS = 1 << 30  # published: 31 million
_PUBLISHED_SCALES = (1.0, 8.0)
_TILE_SIZE = 128  # LR pixels: a continuous decoder needs 1 GiB a layer for 1024 x 1024 pixels


@dataclass(frozen=True)
class PublishedMethod:
    """What differs between the methods' checkpoints.

    Attributes:
        format_name: Name of the format, which is also the method's.
        title: What `recognise` calls the second stage.
        model: Picks the model's name by its architecture.
        values: Picks the architecture's values that no checkpoint tells, by whether the decoder is fixed.
        card: Writes the card.
    """

    format_name: str
    title: str
    model: Callable[[LatentArchitecture], str]
    values: Callable[[bool], Mapping[str, Any]]
    card: Callable[["ImportedModel"], "ModelCard"]


@dataclass(frozen=True)
class ImportedModel:
    """What a card is written from.

    Attributes:
        model: Model name.
        values: The architecture.
        num_parameters: Parameters taken.
        history: One paragraph: the files, their digests and how long they were trained.
    """

    model: str
    values: LatentArchitecture
    num_parameters: int
    history: str


@dataclass(frozen=True)
class _Stage:
    """A file that was read."""

    path: Path
    content: LightningFile

    @property
    def state(self) -> dict[str, Tensor]:
        return self.content.state


@dataclass(frozen=True)
class _Group:
    """Names that belong together, with the shapes that they must have."""

    reason: str
    layout: Mapping[str, Shape]


def import_latent(method: PublishedMethod, files: Sequence[Path], out: Path, options: ImportOptions) -> ImportReport:
    """Turn a second stage, and the first stage that it was trained on, into a model folder.

    Args:
        method: Whose checkpoints they are.
        files: First and second stage, or the second alone where the first travels in it.
        out: Model folder to write.
        options: What no shape shows.

    Raises:
        WeightsError: If a file is another network's; if any tensor is missing, unexpected, mis-shaped or not finite;
            or if the two stages disagree.
        ModelError: If the options do not fit the widths, or the folder's place is taken by something else.
    """
    first, second = _read_stages(method, [Path(file) for file in files])
    state = _whole_state(first, second)
    values = _architecture(method, state, options, second.path)
    taken, left_out = _second_stage_groups(values, second, options)
    _check_layout(second, [taken, *left_out])
    if first is not None:
        left_out += _account_for_first_stage(first, second, values)
    weights = {name: state[name] for name in taken.layout}
    _check_values(weights, second.path)
    network = _filled(values, weights, options)
    sources = tuple(SourceFile(stage.path, file_sha256(stage.path)) for stage in (first, second) if stage is not None)
    model = method.model(values)
    num_parameters = sum(parameter.numel() for parameter in network.parameters())
    imported = ImportedModel(model, values, num_parameters, _history(sources, second.content, options))
    save_model_folder(Path(out), model, network.architecture, network, method.card(imported))
    return ImportReport(
        model=model,
        sources=sources,
        folder=Path(out),
        architecture=network.architecture,
        num_tensors=len(taken.layout),
        num_parameters=num_parameters,
        unused=tuple(name for group in left_out for name in group.layout),
        num_unused_parameters=sum(_num_values(group) for group in left_out),
        groups=tuple(LeftOut(group.reason, len(group.layout), _num_values(group)) for group in left_out),
    )


def _read_stages(method: PublishedMethod, files: Sequence[Path]) -> tuple[_Stage | None, _Stage]:
    if len(files) not in (1, 2):
        raise WeightsError(
            f"Format '{method.format_name}' takes one or two files, not {len(files)}.",
            "Give FIRST.ckpt SECOND.ckpt OUT, or SECOND.ckpt OUT.",
        )
    stages = [_Stage(file, read_lightning(file)) for file in files]
    _check_second(method, stages[-1])
    if len(stages) == 1:
        return None, stages[0]
    title = recognise(stages[0].state)
    if "first stage" not in title:
        raise WeightsError(
            f"{files[0]} is no first stage of {method.format_name}; by its names it is {title}.",
            "Give the first stage, then the second; or the second stage alone.",
        )
    return stages[0], stages[1]


def _check_second(method: PublishedMethod, stage: _Stage) -> None:
    title = recognise(stage.state)
    if title == method.title:
        return
    remedy = "Check the file."
    if "first stage" in title:
        remedy = "Give FIRST.ckpt SECOND.ckpt OUT, in this order."
    elif title.endswith(_SECOND):
        remedy = f"Import it with --format {title.removesuffix(_SECOND).lower()}."
    raise WeightsError(f"{stage.path} is not {method.title}; by its names it is {title}.", remedy)


def _whole_state(first: _Stage | None, second: _Stage) -> dict[str, Tensor]:
    """The second stage's names, with the first stage's where they do not travel in it."""
    if any(name.startswith(FIRST_STAGE_PREFIX) for name in second.state):
        return second.state
    if first is None:
        raise WeightsError(
            f"{second.path} does not hold the first stage that it was trained on.", "Give both: FIRST.ckpt SECOND.ckpt."
        )
    return {**second.state, **{FIRST_STAGE_PREFIX + name: value for name, value in first.state.items()}}


def _architecture(
    method: PublishedMethod, state: Mapping[str, Tensor], options: ImportOptions, file: Path
) -> LatentArchitecture:
    try:
        read = {**read_latent_shapes(state), **read_schedule(state)}
    except WeightsError as error:
        raise WeightsError(f"{file}: {error.problem}", error.remedy) from None
    told = dict(method.values(read["decoder"] == "fixed"))
    if options.prediction is not None:
        told["prediction"] = options.prediction
    return read_latent_architecture(
        {**told, **read, "norm_num_groups": options.norm_num_groups, "head_channels": options.head_channels}
    )


def _second_stage_groups(
    values: LatentArchitecture, second: _Stage, options: ImportOptions
) -> tuple[_Group, list[_Group]]:
    """What is taken, and what is known and not needed, with the shapes that this architecture asks for."""
    with torch.device("meta"):
        ours, autoencoder = layout_of(LatentSR(values).state_dict()), _first_stage_layout(values)
    averaged = {official: ours[name] for name, official in network_names(ours, averaged=True).items()}
    raw = {official: ours[name] for name, official in network_names(ours, averaged=False).items()}
    taken = _Group("taken", raw if options.raw_weights else averaged)
    groups = [
        _Group(
            "schedule's tables, which follow from its ends", dict.fromkeys(SCHEDULE_BUFFERS, (values.num_timesteps,))
        )
    ]
    if any(name.startswith(AVERAGE_PREFIX) for name in second.state):
        bookkeeping: dict[str, Shape] = {f"{AVERAGE_PREFIX}decay": (), f"{AVERAGE_PREFIX}num_updates": ()}
        other, reason = (averaged, "moving average") if options.raw_weights else (raw, "raw weights")
        rest = {name: shape for name, shape in other.items() if name not in taken.layout}
        groups += [_Group(f"denoiser's {reason}", rest), _Group("moving average's counters", bookkeeping)]
    elif not options.raw_weights:
        raise WeightsError(
            f"{second.path} holds no moving average of the denoiser.", "Take the weights as trained: --raw-weights."
        )
    inside = {FIRST_STAGE_PREFIX + name: shape for name, shape in autoencoder.items()}
    if any(name in inside for name in second.state):
        rest = {name: shape for name, shape in inside.items() if name not in taken.layout}
        groups.append(_Group("first stage's encoder and what no forward pass reads", rest))
    return taken, groups


def _first_stage_layout(values: LatentArchitecture) -> dict[str, Shape]:
    """Shapes of a first stage's networks by their published names, without those of its loss."""
    ours = layout_of(ResidualAutoencoder(values).state_dict())
    layout = {official: ours[name] for name, official in autoencoder_names(ours).items()}
    return {**layout, f"decoder.{UNUSED_DECODER_TENSOR}": (1,)} if values.decoder == "continuous" else layout


def _check_layout(stage: _Stage, groups: Sequence[_Group]) -> None:
    expected = {name: shape for group in groups for name, shape in group.layout.items()}
    found = layout_of(stage.state)
    if not any(name.startswith(FIRST_STAGE_PREFIX) for name in found):
        expected = {name: shape for name, shape in expected.items() if not name.startswith(FIRST_STAGE_PREFIX)}
    difference = compare_layouts(expected, found)
    if difference:
        raise WeightsError(f"The weights in {stage.path} do not fit: {difference}.", "Fetch them again.")


def _account_for_first_stage(first: _Stage, second: _Stage, values: LatentArchitecture) -> list[_Group]:
    """Check a first stage's names and shapes, and its values against the second stage's copy."""
    with torch.device("meta"):
        layout = _first_stage_layout(values)
    copies = _Group("first stage's networks, as in the second stage", layout)
    found = layout_of(first.state)
    losses = [
        _Group(reason, {name: shape for name, shape in found.items() if name.startswith(beginning)})
        for beginning, reason in _LOSS_PARTS.items()
    ]
    _check_layout(first, [copies, *losses])
    for name in layout:
        copy = second.state.get(FIRST_STAGE_PREFIX + name)
        if copy is not None and not torch.equal(copy.float(), first.state[name].float()):
            raise WeightsError(
                f"{first.path} is not the first stage that {second.path} was trained on: {name} differs by up to "
                f"{(copy.float() - first.state[name].float()).abs().max():.3g}.",
                "Give the right one, or leave it out: the second stage holds its own copy.",
            )
    travels = any(name.startswith(FIRST_STAGE_PREFIX) for name in second.state)
    kept = copies if travels else _Group("first stage's encoder", _not_decoding(layout))
    return [group for group in (kept, *losses) if group.layout]


def _not_decoding(layout: Mapping[str, Shape]) -> dict[str, Shape]:
    """The first stage's names that inference does not need."""
    unused = f"decoder.{UNUSED_DECODER_TENSOR}"
    needed = ("decoder.", "post_quant_conv.")
    return {name: shape for name, shape in layout.items() if name == unused or not name.startswith(needed)}


def _check_values(taken: Mapping[str, Tensor], file: Path) -> None:
    for name, value in taken.items():
        if not value.is_floating_point() or not bool(torch.isfinite(value).all()):
            raise WeightsError(f"{file}: {name} holds values that are not finite numbers.", "Fetch the weights again.")
    if sum(value.numel() for value in taken.values()) > _MAX_PARAMETERS:
        raise WeightsError(f"{file} holds more parameters than any network of these methods.", "Check the file.")
    scaling = float(taken[LATENT_SCALING])
    if scaling <= 0:
        raise WeightsError(f"{file}: {LATENT_SCALING} is {scaling}, not above 0.", "Fetch the weights again.")


def _filled(values: LatentArchitecture, taken: Mapping[str, Tensor], options: ImportOptions) -> LatentSR:
    """The network with the taken weights, in eval mode."""
    with torch.random.fork_rng(devices=[]):  # random weights that are overwritten must not move anyone's generator
        network = LatentSR(values)
    names = network_names(network.state_dict(), averaged=not options.raw_weights)
    network.load_state_dict({name: taken[official] for name, official in names.items()})
    return network.eval()


def _history(sources: Sequence[SourceFile], content: LightningFile, options: ImportOptions) -> str:
    files = "; ".join(f"{source.path.name} (SHA-256 {source.sha256})" for source in sources)
    kind = "raw weights" if options.raw_weights else "moving average"
    trained = [
        f"{word} {value}"
        for word, value in (("epoch", content.epoch), ("step", content.global_step))
        if value is not None
    ]
    return f"Imported from {files}. Denoiser: {kind}{', ' + ', '.join(trained) if trained else ''}."


def _num_values(group: _Group) -> int:
    return sum(torch.Size(shape).numel() for shape in group.layout.values())


def imported_card(imported: ImportedModel, method: str, notes: str) -> "ModelCard":
    """The card of an imported model.

    Args:
        imported: What was imported.
        method: The method's name.
        notes: What a user of this method should know.
    """
    from rssr.card import ModelCard  # here, because the card alone needs pydantic and YAML

    values = imported.values
    fixed = float(values.fixed_scale) if values.decoder == "fixed" else None
    colours = ["red", "green", "blue"]
    widths = [values.channels * multiplier for multiplier in values.channel_multipliers]
    return ModelCard(
        name=f"{method}-x{fixed:g}-official" if fixed else f"{method}-official",
        method=method,
        architecture=f"Latent network, levels {widths}, {imported.num_parameters:,} parameters",
        bands=colours if values.bands == len(colours) else [f"band_{i + 1}" for i in range(values.bands)],
        scale_range=(fixed, fixed) if fixed else _PUBLISHED_SCALES,
        tile_size=_TILE_SIZE,
        licence="not stated in the checkpoint; see the authors' repository",
        notes=f"{imported.history} {notes} The list of training images is unknown.",
        unofficial_weights=False,
    )
