"""The authors' checkpoints of LCMSR as model folders, with a continuous or a fixed scale."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rssr.models.latent.architecture import LatentArchitecture
from rssr.weights.latent import ImportedModel, PublishedMethod, import_latent, imported_card
from rssr.weights.official import ImportOptions, ImportReport

if TYPE_CHECKING:
    from rssr.card import ModelCard

_NAMED_SCALE = 4


def import_files(files: Sequence[Path], out: Path, options: ImportOptions) -> ImportReport:
    """Turn the authors' checkpoints into a model folder; see `import_latent`.

    Args:
        files: First and second stage, or the second alone.
        out: Model folder to write.
        options: What no shape shows; published: noise is predicted at a continuous scale, the latent at a fixed one.
    """
    method = PublishedMethod(
        format_name="lcmsr", title="LCMSR's second stage", model=_model, values=_published_values, card=_card
    )
    return import_latent(method, files, out, options)


def _model(values: LatentArchitecture) -> str:
    return "lcmsr-x4" if values.decoder == "fixed" and values.fixed_scale == _NAMED_SCALE else "lcmsr"


def _published_values(fixed: bool) -> Mapping[str, Any]:
    return {"prediction": "sample" if fixed else "noise", "scale_embedding": "integer", "final_renoise": True}


def _card(imported: ImportedModel) -> "ModelCard":
    return imported_card(imported, "lcmsr", "One step, noised again to timestep 0 as in the published code.")
