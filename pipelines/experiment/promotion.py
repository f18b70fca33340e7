"""What a training job says of its registered model: how it did, and that it is champion where there was none."""

import logging
from statistics import fmean

from pipelines.evaluation.comparison import Evaluation
from pipelines.tracking.champion import become_first_champion
from pipelines.tracking.registry import ModelVersion, tag_version

log = logging.getLogger(__name__)

VALUE_TAG = "rssr.evaluation.psnr_db"


def promote(version: ModelVersion, evaluation: Evaluation, model: str, tracking_uri: str) -> bool:
    """Record what an evaluation found with a version, and make it champion where its model has none.

    A champion stays, however much better the version did: who replaces it is decided by an evaluation of both on the
    same images (`jobs/evaluate.py promote=true`).

    Args:
        version: The registered model.
        evaluation: Of this model among others.
        model: Its name there.
        tracking_uri: The store.

    Returns:
        Whether the version is champion.
    """
    metric = evaluation.fidelity[0].name
    value = fmean(fmean(evaluation.values(model, metric, scale).values()) for scale in evaluation.scales)
    tag_version(tracking_uri, version, {VALUE_TAG: f"{value:.6f}"})
    reason = f"The first of its name that was evaluated: {value:.2f} dB on held-out images, by the job that trained it."
    is_champion = become_first_champion(tracking_uri, version, reason)
    if not is_champion:
        log.info(
            "%s is candidate (%.2f dB on held-out images); the champion stays until an evaluation of both finds it "
            "better: python jobs/evaluate.py promote=true promotion.model=%s",
            version.uri,
            value,
            version.name,
        )
    return is_champion
