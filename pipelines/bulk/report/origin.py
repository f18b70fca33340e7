"""How the products were made, under which terms they may be used, and what to type next."""

from collections.abc import Iterable

from pipelines.bulk.commands import command_line
from pipelines.bulk.result import BulkResult, by_state
from pipelines.report import Part, facts, heading, listing, prose
from pipelines.report.table import Cell
from pipelines.tracking.secrecy import mask_secrets
from rssr.card import ModelCard
from rssr.configuration import to_yaml

_UNSTATED = "not stated"


def next_steps(result: BulkResult) -> Iterable[Part]:
    """Commands with their purpose."""
    counts = by_state(result)
    lines = []
    if counts["waiting"]:
        lines += ["# go on where it stopped", command_line(result.config)]
    if counts["failed"] or counts["partial"]:
        lines += ["# try again what failed", command_line(result.config, "retry_failed=true")]
    lines += ["# check products, checksums and coverage again", command_line(result.config, "verify_only=true")]
    yield prose("From the project's folder. Finished products are kept, whatever is run again.")
    yield listing("\n".join(lines))


def how_it_was_made(result: BulkResult) -> Iterable[Part]:
    """Model, configuration, versions."""
    identity = result.identity
    yield heading("Model")
    yield facts(
        {
            "model": identity.model,
            **({"SHA-256": identity.model_digest} if identity.model_digest else {}),
            **({} if result.card is None else _card_facts(result.card)),
        }
    )
    if result.card is not None and result.card.notes:
        yield prose(result.card.notes)
    yield heading("Products")
    licence = result.config.products.licence
    yield facts({"licence": licence, "output": mask_secrets(result.config.output.uri), "digest": identity.digest})
    yield heading("Run and versions")
    told: dict[str, Cell] = {"planned": identity.planned_at}
    told |= {"begun": result.started_at} if result.started_at else {}
    told |= {"ended": result.ended_at} if result.ended_at else {}
    workers = result.config.num_workers
    told |= {"workers": workers or "this process", "hardware": result.hardware or _UNSTATED}
    yield facts({**told, **identity.software})
    yield listing(mask_secrets(to_yaml(result.config)), "Configuration")


def _card_facts(card: ModelCard) -> dict[str, Cell]:
    told: dict[str, Cell] = {
        "method": card.method,
        "licence of the weights": card.licence or _UNSTATED,
        "weights": "not the authors' own" if card.unofficial_weights else "the authors' own",
        "bands": ", ".join(card.bands),
        "scales of training": _range(card.scale_range),
        "ground sample distance of training": _UNSTATED
        if card.gsd_range_m is None
        else f"{_range(card.gsd_range_m)} m",
    }
    if card.uncertainty is not None:
        told["errors within one error bar"] = f"{card.uncertainty.coverage_1:.1%}, where 68.3% should be"
    if card.tile_dependence is not None:
        psnr, seams = card.tile_dependence.psnr_db, card.tile_dependence.seam_score
        told["between tiles of 256 and 512 pixels"] = _UNSTATED if psnr is None else f"{psnr:.1f} dB"
        told["its largest seam score when measured"] = _UNSTATED if seams is None else f"{seams:.3f}"
    learnt = [f"{own.num_images:,} images of {own.uri} ({own.split})" for own in card.training_manifests]
    told["learnt from"] = "; ".join(learnt) or _UNSTATED
    return told


def _range(ends: tuple[float, float]) -> str:
    return f"{ends[0]:g}" if ends[0] == ends[1] else f"{ends[0]:g} to {ends[1]:g}"
