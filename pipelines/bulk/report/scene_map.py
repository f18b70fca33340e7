"""Where scenes lie, by what became of them."""

from pipelines.bulk.report.scenes import anchors
from pipelines.bulk.result import BulkResult, Outcome, SceneResult
from pipelines.report import Footprint, FootprintState, Part, footprints

_STATES: dict[Outcome, FootprintState] = {
    "done": "done",
    "marked": "marked",
    "partial": "partial",
    "failed": "failed",
    "refused": "failed",
    "waiting": "waiting",
}
_WORDS: dict[FootprintState, str] = {
    "done": "published",
    "marked": "marked, tiles show",
    "partial": "partial, windows failed",
    "failed": "failed or refused",
    "waiting": "waiting",
}


def scene_map(result: BulkResult) -> Part:
    """All scenes on a map; each leads to its row of the table, as far as it has one."""
    links = anchors(result)
    shown = [
        Footprint(scene.name, _STATES[scene.outcome], scene.planned.bounds, _note(scene), links.get(scene.name, ""))
        for scene in result.scenes
    ]
    return footprints(shown, "Footprints of the scenes", _WORDS)


def _note(scene: SceneResult) -> str:
    if scene.product is None:
        return f"{scene.outcome}; {scene.reason}".removesuffix("; ")
    return f"{scene.outcome}, seam score {scene.product.seam_score:.3f}"
