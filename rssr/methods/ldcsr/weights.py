"""The authors' checkpoints of LDCSR as model folders."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rssr.weights.latent import ImportedModel, PublishedMethod, import_latent, imported_card
from rssr.weights.official import ImportOptions, ImportReport

if TYPE_CHECKING:
    from rssr.card import ModelCard

_MODEL = "ldcsr"


def import_files(files: Sequence[Path], out: Path, options: ImportOptions) -> ImportReport:
    """Turn the authors' checkpoints into a model folder; see `import_latent`.

    Args:
        files: First and second stage, or the second alone.
        out: Model folder to write.
        options: What no shape shows; published: noise is predicted.
    """
    method = PublishedMethod(
        format_name="ldcsr",
        title="LDCSR's second stage",
        model=lambda _: _MODEL,
        values=lambda _: {"prediction": "noise", "scale_embedding": "integer"},
        card=_card,
    )
    return import_latent(method, files, out, options)


def _card(imported: ImportedModel) -> "ModelCard":
    return imported_card(imported, "ldcsr", f"{imported.values.num_timesteps} steps. Trained on AID's training split.")
