"""The ingest job: a raw dataset to Parquet shards, and what there is to know about it."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.cluster import ray_session, require_durable_output
from pipelines.datasets.config import SAMPLE_URI, SampleConfig
from pipelines.datasets.sample import make_sample
from pipelines.ingest.config import IngestConfig
from pipelines.ingest.duplicates import (
    Collection,
    Duplicate,
    duplicates_table,
    find_duplicates,
    open_collection,
    read_collection,
    read_duplicates,
    write_duplicates,
)
from pipelines.ingest.gallery import make_gallery
from pipelines.ingest.planning import IngestPlan, plan_ingest
from pipelines.ingest.publish import check_skipped, clean_up, publish, read_parts, unfinished, write_index
from pipelines.ingest.shard_writer import Making
from pipelines.ingest.state import GALLERY, announce, find_finished, forget
from pipelines.ingest.workers import make_shards
from pipelines.progress import print_closing, printable
from pipelines.storage import Store, open_store
from pipelines.storage.shards import MARKER, ShardStore, open_images
from rssr.configuration import config_digest
from rssr.errors import DataError, ExitCode, StorageError

log = logging.getLogger(__name__)

_MAX_NAMED = 20  # skipped files told on the terminal; all are in skipped.csv


def run_ingest(config: IngestConfig) -> ExitCode:
    """Run the job."""
    require_durable_output(config.output.uri)
    target = open_store(config.output.uri)
    others = _open_others(config, target)  # a wrong one is told before hours of reading
    plan = plan_ingest(open_images(_source_uri(config, target)), config)
    if config.fresh:
        forget(target)
    summary = find_finished(plan, target, config.update)
    if summary is None:
        summary = _ingest(plan, config, target)
    else:
        log.info("%s is ingested already: %d images", plan.source.uri, summary["num_images"])
    summary, duplicates = _compare(summary, config, others, target)
    if config.gallery:
        summary = _show(summary, config, duplicates, target)
    _tell(summary, config, target, duplicates)
    return ExitCode.DONE


def _open_others(config: IngestConfig, target: Store) -> list[Collection]:
    others = [open_collection(uri) for uri in config.against]
    if any(other.uri == target.uri for other in others):
        raise DataError(
            f"against={target.uri} is output.uri itself.",
            "Name other datasets; duplicates within this one are looked for anyway.",
        )
    return others


def _source_uri(config: IngestConfig, target: Store) -> str:
    if config.input.uri != SAMPLE_URI:
        return config.input.uri
    return make_sample(SampleConfig(), target.child("sample-source"))


def _ingest(plan: IngestPlan, config: IngestConfig, target: Store) -> dict[str, Any]:
    """Make what is missing of the shards, and the index; returns what `shards.json` says."""
    announce(plan, target)
    todo = unfinished(plan.tasks, target)
    log.info(
        "%d images, layout %s, in %d shards of which %d are there already",
        len(plan.images),
        plan.layout.name,
        len(plan.tasks),
        len(plan.tasks) - len(todo),
    )
    making = Making(plan.source, target, config.num_threads, config.max_bytes_in_flight)
    with ray_session(config.ray, needed=config.num_workers > 0 and bool(todo)):
        make_shards(todo, making, config.num_workers)
    parts = [part for part in read_parts(plan.tasks, target) if part is not None]
    if len(parts) < len(plan.tasks):
        raise StorageError(f"{len(plan.tasks) - len(parts)} parts of {target.uri} are gone.", "Run the job again.")
    check_skipped(parts, plan, config.max_corrupt_fraction)
    summary = write_index(plan, parts, config, target)
    publish(summary, target)
    clean_up(plan, summary, target)
    return summary


def _compare(
    summary: dict[str, Any], config: IngestConfig, others: Sequence[Collection], target: Store
) -> tuple[dict[str, Any], list[Duplicate]]:
    """Look for duplicates, or take those that were found before in the same data with the same settings."""
    against = [{"uri": other.uri, "digest": other.digest} for other in others]
    limits = config.duplicates.max_distance, config.duplicates.min_correlation
    done_for = config_digest(summary["digest"], against, *limits)
    known = read_duplicates(target) if summary.get("duplicates", {}).get("inputs_digest") == done_for else None
    if known is not None:
        return summary, known
    duplicates = find_duplicates(read_collection(target, summary), others, config.duplicates)
    write_duplicates(duplicates, target)
    report = {
        "inputs_digest": done_for,
        "report": "duplicates.parquet",
        "against": against,
        "num_exact": sum(pair.kind == "exact" for pair in duplicates),
        "num_near": sum(pair.kind == "near" for pair in duplicates),
        "num_between_datasets": sum(bool(pair.other_dataset) for pair in duplicates),
        "num_across_splits": sum(not pair.other_dataset and pair.split != pair.other_split for pair in duplicates),
    }
    summary = summary | {"duplicates": report}
    publish(summary, target)
    return summary, duplicates


def _show(
    summary: dict[str, Any], config: IngestConfig, duplicates: Sequence[Duplicate], target: Store
) -> dict[str, Any]:
    """Write the gallery unless it shows the same already."""
    shown = (config.gallery_settings, config.degradation, config.scale, config.seed)
    done_for = config_digest(summary["digest"], summary["duplicates"]["inputs_digest"], *shown)
    if summary.get("gallery") == {"inputs_digest": done_for} and target.exists(GALLERY):
        return summary
    target.write_bytes(GALLERY, make_gallery(ShardStore(target), config, duplicates).encode())
    summary = summary | {"gallery": {"inputs_digest": done_for}}
    publish(summary, target)
    return summary


def _tell(summary: Mapping[str, Any], config: IngestConfig, target: Store, duplicates: Sequence[Duplicate]) -> None:
    for sentence in summary["completeness"]:
        log.warning("%s", sentence)
    if others := summary.get("other_files"):
        log.info("left alone, being no images by their names: %s", others)
    for item in summary["skipped"][:_MAX_NAMED]:
        log.warning("skipped %s: %s", printable(item["key"]), item["reason"])
    if duplicates:
        print(f"\n{duplicates_table(duplicates, config.duplicates.max_shown)}")  # the job's answer, not a log line
    found = summary["duplicates"]
    counts = f"{found['num_exact']} exact, {found['num_near']} near, {found['num_between_datasets']} between datasets"
    where = {
        "shards": f"{target.uri} ({len(summary['shards'])} shards, {summary['num_images']} images, "
        f"{len(summary['classes'])} classes)",
        "summary": target.describe(MARKER),
        "digest": summary["digest"],
        "skipped": f"{len(summary['skipped'])}, see {target.describe('skipped.csv')}",
        "duplicates": f"{counts}, see {target.describe('duplicates.csv')}",
    }
    if config.gallery:
        where["gallery"] = target.describe(GALLERY)
    print_closing(where, [f"python jobs/slimdiffsr.py quickstart/slimdiffsr data.uri={target.uri}"])
