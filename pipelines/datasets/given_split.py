"""Find images with the split that publishers or lists give them, and name those that are left out by it."""

from collections.abc import Sequence
from dataclasses import replace

from pipelines.catalogue import LAYOUTS, Label
from pipelines.catalogue.split_lists import assign_splits, read_split_list
from pipelines.datasets.config import DataConfig
from pipelines.datasets.discovery import FoundImage, find_images
from pipelines.datasets.manifest import Skipped
from rssr.errors import DataError


def find_labelled_images(data_uris: Sequence[str], config: DataConfig) -> list[FoundImage]:
    """All images with class and split.

    Args:
        data_uris: What `config.uri` stands for; their layout is `config.layout`.
        config: Names layouts, test locations and split lists.

    Raises:
        DataError, StorageError: See `discovery.find_images`; also where a split list cannot be used.
    """
    layouts = [config.layout] * len(data_uris) + [config.test_layout] * len(config.test_uris)
    found = find_images((*data_uris, *config.test_uris), layouts)
    if config.split_lists is None:
        return found
    lists = {
        split: [name for uri in uris for name in read_split_list(uri)]
        for split, uris in config.split_lists.uris.items()
    }
    ours = [image for image in found if image.source < len(data_uris)]
    splits = assign_splits([_address(image, data_uris) for image in ours], lists)
    listed = [
        replace(image, label=Label(image.class_name, splits.get(_address(image, data_uris))))
        for image in ours
        if image.label is not None
    ]
    unknown = [image for image in ours if image.label is None]
    rest = [image for image in found if image.source >= len(data_uris)]
    return sorted([*listed, *unknown, *rest], key=lambda image: (image.source, image.entry.key))


def leave_out(found: Sequence[FoundImage], num_data_uris: int, config: DataConfig) -> list[Skipped]:
    """Images that are not used, whatever they hold: not of the dataset's layout, of no split, or with no proper name.

    Raises:
        DataError: The official split was asked for, and there is none, or only half of it.
    """
    ours = [image for image in found if image.source < num_data_uris and image.label is not None]
    if config.official_split:
        _require_official(ours, config)
    skipped = []
    for image in found:
        reason = _reason(image, num_data_uris, config)
        if reason is not None:
            shown = image.entry.key if _is_text(image.entry.key) else ascii(image.entry.key)
            skipped.append(Skipped(image.entry.key, f"{shown} {reason}.", image.source))
    return skipped


def _address(image: FoundImage, uris: Sequence[str]) -> str:
    return f"{uris[image.source].rstrip('/')}/{image.entry.key}"


def _is_text(key: str) -> bool:
    """Whether it can be written down: a local name may be any bytes."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _reason(image: FoundImage, num_data_uris: int, config: DataConfig) -> str | None:
    if not _is_text(image.entry.key):
        return "has a name that is not UTF-8"
    if image.label is None:
        layout = config.layout if image.source < num_data_uris else config.test_layout
        return f"does not lie where the layout '{layout}' has its images"
    if image.source >= num_data_uris or not config.has_given_split or image.split in ("train", "test"):
        return None
    whose = "on the lists" if config.split_lists is not None else "of the official split"
    if image.split == "val":
        return f"is a validation image {whose}, which is neither trained on nor held out"
    return f"is in no split {whose}" if config.official_split else "is on none of the split lists"


def _require_official(images: Sequence[FoundImage], config: DataConfig) -> None:
    splits = {image.split for image in images}
    wanted = {"train"} if config.test_uris else {"train", "test"}
    missing = sorted(wanted - splits)
    if not missing:
        return
    having = [layout.name for layout in LAYOUTS.values() if layout.facts is not None and layout.facts.split_counts]
    raise DataError(
        f"data.official_split is set, but no image of {', '.join(config.uris)} is in the official "
        f"{' or '.join(missing)} split. Layouts that have splits: {', '.join(having)}.",
        "Give the whole dataset, or split with data.num_test or data.split_lists.",
    )
