"""Which registered model is champion: the one that did best on the same held-out images."""

import logging
from collections.abc import Mapping, Sequence
from statistics import fmean

from pipelines.evaluation.comparison import Evaluation
from pipelines.experiment.config import JobConfig
from pipelines.tracking.registry import CHAMPION, ModelVersion, find_alias, set_alias, tag_version, version_tags
from rssr.configuration import config_digest

log = logging.getLogger(__name__)

VALUE_TAG = "rssr.evaluation.psnr_db"
MEASURED_ON_TAG = "rssr.evaluation.measured_on"


def promote(config: JobConfig, version: ModelVersion, evaluation: Evaluation, model: str, tracking_uri: str) -> bool:
    """Record what an evaluation found with a version, and make it champion where that is better than the champion's.

    A champion that was measured on other images, or otherwise, stays: figures that are not comparable decide nothing.

    Args:
        config: How it was evaluated.
        version: The registered model.
        evaluation: Of this model among others.
        model: Its name there.
        tracking_uri: The store.

    Returns:
        Whether the version is champion.
    """
    metric = evaluation.fidelity[0].name
    by_scale = {scale: evaluation.values(model, metric, scale) for scale in evaluation.scales}
    value = fmean(fmean(values.values()) for values in by_scale.values())
    measured_on = _measured_on(config, metric, {f"{scale:g}": sorted(values) for scale, values in by_scale.items()})
    tag_version(tracking_uri, version, {VALUE_TAG: f"{value:.6f}", MEASURED_ON_TAG: measured_on})
    champion = find_alias(tracking_uri, version.name, CHAMPION)
    if champion is not None and champion.version != version.version:
        tags = version_tags(tracking_uri, champion)
        if tags.get(MEASURED_ON_TAG) != measured_on:
            log.warning(
                "%s stays champion: it was measured on other images or at other scales. To replace it, evaluate both "
                "alike and move the alias.",
                champion.uri,
            )
            return False
        if value <= float(tags[VALUE_TAG]):
            log.info("%s stays champion: %s dB, %s has %.2f dB.", champion.uri, tags[VALUE_TAG], version.uri, value)
            return False
    set_alias(tracking_uri, version, CHAMPION)
    log.info("%s is champion: %.2f dB on held-out images.", version.uri, value)
    return True


def _measured_on(config: JobConfig, metric: str, keys: Mapping[str, Sequence[str]]) -> str:
    """What must be equal for two models' figures to be comparable."""
    settings = config.evaluation.model_dump(mode="json", exclude={"num_images", "scales"})
    return config_digest(metric, keys, settings, config.data.degradation.digest_values(), config.seed)
