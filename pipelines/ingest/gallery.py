"""A page of HR images beside the LR images that the degradation makes of them: what a network will see."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.ingest.config import IngestConfig
from pipelines.ingest.duplicates import Duplicate
from pipelines.report import Page, Part, facts, panels, prose, table
from pipelines.report.table import Column
from pipelines.storage.shards import ShardImage, ShardStore
from rssr.degradation import DegradationConfig, apply_draws, describe_draws, draw_degradation, preset_names
from rssr.images import RgbImage, decode_image
from rssr.seeds import derive_seed

_MAX_PAIRS = 12  # of duplicates shown as pictures
_PAIR_SIDE = 256  # pixels
_MAX_SKIPPED = 50
_SMALLEST_LR_SIDE = 4  # pixels


def make_gallery(shards: ShardStore, config: IngestConfig, duplicates: Sequence[Duplicate]) -> str:
    """The page as HTML.

    Args:
        shards: The finished shards.
        config: What is shown, and how LR images are made.
        duplicates: Pairs, of which the first near ones within the dataset are shown.
    """
    summary = shards.summary
    page = Page("HR and LR pairs", f"{summary['source']}, layout {summary['layout']}")
    page.lead(_lead(summary, config))
    for class_name, images in sorted(_chosen(shards, config).items()):
        page.section(class_name, panels([_pair(shards, image, config) for image in images]))
    alike = [pair for pair in duplicates if pair.kind == "near" and not pair.other_dataset]
    if alike:
        rows = [_alike(shards, pair) for pair in alike[:_MAX_PAIRS]]
        page.section("Near-duplicates", prose(f"{len(alike)} pairs look alike; the first of them:"), panels(rows))
    if summary["skipped"]:
        rows_skipped = [{"key": item["key"], "reason": item["reason"]} for item in summary["skipped"][:_MAX_SKIPPED]]
        page.section("Skipped files", table([Column("key", "File"), Column("reason", "Reason")], rows_skipped))
    return page.to_html()


def _lead(summary: Mapping[str, Any], config: IngestConfig) -> Part:
    return facts(
        {
            "images": summary["num_images"],
            "digest": summary["digest"],
            "degradation": _name(config.degradation),
            "scale": f"x{config.scale:g}",
            "licence": summary["licence"] or "not stated",
        }
    )


def _name(config: DegradationConfig) -> str:
    """The preset's name, and whether it was changed."""
    is_preset = config.kind in preset_names() and config == DegradationConfig.model_validate(config.kind)
    return config.kind if is_preset else f"{config.kind}, changed"


def _chosen(shards: ShardStore, config: IngestConfig) -> dict[str, list[ShardImage]]:
    """Some images of each class, chosen by a hash of seed and content, those large enough to have an LR image."""
    by_class: dict[str, list[ShardImage]] = defaultdict(list)
    for image in shards.images():
        if min(image.width, image.height) >= _SMALLEST_LR_SIDE * config.scale:
            by_class[image.class_name or "images"].append(image)
    number = config.gallery_settings.images_per_class
    return {
        name: sorted(images, key=lambda image: derive_seed(config.seed, "gallery", image.sha256))[:number]
        for name, images in by_class.items()
    }


def _pair(shards: ShardStore, image: ShardImage, config: IngestConfig) -> tuple[str, dict[str, RgbImage]]:
    hr = _centre(_decoded(shards, image.key), config.gallery_settings.size)
    seed = derive_seed(config.seed, "gallery degradation", image.sha256)
    draws = draw_degradation(config.degradation, config.scale, seed, (hr.shape[0], hr.shape[1]))
    split = f", {image.split}" if image.split else ""
    label = f"{image.key}{split}, {image.width} by {image.height} pixels"
    if hr.shape[:2] != (image.height, image.width):
        label += f", of which the middle {hr.shape[1]} by {hr.shape[0]}"
    return label, {"HR": hr, f"LR {describe_draws(draws)}": apply_draws(hr, draws)}


def _alike(shards: ShardStore, pair: Duplicate) -> tuple[str, dict[str, RgbImage]]:
    label = f"{pair.distance} of 64 bits apart, correlation {pair.correlation:.3f}"
    keys = (pair.key, pair.other_key)
    return label, {key: _centre(_decoded(shards, key), _PAIR_SIDE) for key in keys}


def _decoded(shards: ShardStore, key: str) -> RgbImage:
    return decode_image(shards.read_bytes(key), key).pixels


def _centre(pixels: RgbImage, side: int) -> RgbImage:
    height, width = pixels.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])
