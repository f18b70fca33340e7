"""Which images go into which shard, decided from the listing alone: no image is read for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from pipelines.catalogue import describe_others, is_image_key, recognise
from pipelines.catalogue.layout import Label, Layout
from pipelines.ingest.config import IngestConfig
from pipelines.storage import Entry, Store
from pipelines.storage.shards import FORMAT_VERSION, ShardStore
from rssr.configuration import config_digest
from rssr.errors import DataError

_RULES_VERSION = 1  # raise it when shards of the same images come out differently
_DIGEST_LENGTH = 16
_NUM_NAMED = 5


@dataclass(frozen=True)
class SourceImage:
    """An image of the source.

    Attributes:
        entry: Key, size and version.
        label: Class and official split.
    """

    entry: Entry
    label: Label


@dataclass(frozen=True)
class ShardTask:
    """The images of one shard.

    Attributes:
        number: Position among the shards, from 0.
        images: In the order of their keys.
        row_group_bytes: Encoded images of a row group.
    """

    number: int
    images: tuple[SourceImage, ...]
    row_group_bytes: int

    @cached_property
    def digest(self) -> str:
        """Of what the shard will be made from: keys, sizes, versions, labels and the rules of writing."""
        listing = [(*_listed(image.entry), image.label.class_name, image.label.split) for image in self.images]
        return config_digest(FORMAT_VERSION, _RULES_VERSION, self.row_group_bytes, listing)

    @property
    def shard_name(self) -> str:
        """The file to write."""
        return f"shard-{self.number:05d}-{self.digest[:_DIGEST_LENGTH]}.parquet"

    @property
    def part_name(self) -> str:
        """What is known of its images, written after the shard: where it lies, the shard is whole."""
        return f"parts/{self.shard_name}"


@dataclass(frozen=True)
class IngestPlan:
    """What an ingest will do.

    Attributes:
        source: The images.
        layout: Their layout.
        images: All of them, by key.
        misplaced: Images by name that the layout has no place for.
        other_files: Those that are no images by their names, counted by ending; empty where there are none.
        tasks: The shards.
    """

    source: Store
    layout: Layout
    images: tuple[SourceImage, ...]
    misplaced: tuple[str, ...]
    other_files: str
    tasks: tuple[ShardTask, ...]

    @cached_property
    def inputs_digest(self) -> str:
        """Equal where the same shards would come out."""
        return config_digest(self.layout.name, list(self.misplaced), [task.digest for task in self.tasks])

    @property
    def listing(self) -> dict[str, tuple[int, str]]:
        """Size and version of every image, by key."""
        return {image.entry.key: (image.entry.num_bytes, image.entry.version) for image in self.images}


def plan_ingest(source: Store, config: IngestConfig) -> IngestPlan:
    """List a source and cut it into shards.

    Raises:
        DataError: It is missing, empty or without images, or not of the layout asked for.
        StorageError: It cannot be reached.
    """
    entries = source.list()
    layout = recognise([entry.key for entry in entries], config.layout, source.read_bytes)
    images, misplaced = [], []
    for entry in entries:
        label = _label(source, layout, entry.key)
        if label is not None:
            images.append(SourceImage(entry, label))
        elif is_image_key(entry.key):
            misplaced.append(entry.key)
    if not images:
        raise _no_images(source, entries)
    tasks = tuple(_tasks(images, config.shard_bytes, config.row_group_bytes))
    others = describe_others(entry.key for entry in entries) if not isinstance(source, ShardStore) else ""
    return IngestPlan(source, layout, tuple(images), tuple(misplaced), others, tasks)


def _label(source: Store, layout: Layout, key: str) -> Label | None:
    if isinstance(source, ShardStore):
        image = source.image(key)
        return Label(image.class_name, image.split)
    return layout.label(key)


def _tasks(images: Sequence[SourceImage], shard_bytes: int, row_group_bytes: int) -> Iterator[ShardTask]:
    chosen: list[SourceImage] = []
    number = num_bytes = 0
    for image in images:
        if chosen and num_bytes + image.entry.num_bytes > shard_bytes:
            yield ShardTask(number, tuple(chosen), row_group_bytes)
            number, chosen, num_bytes = number + 1, [], 0
        chosen.append(image)
        num_bytes += image.entry.num_bytes
    yield ShardTask(number, tuple(chosen), row_group_bytes)


def _listed(entry: Entry) -> tuple[str, int, str]:
    return entry.key, entry.num_bytes, entry.version


def _no_images(source: Store, entries: Sequence[Entry]) -> DataError:
    if entries:
        named = ", ".join(entry.key for entry in entries[:_NUM_NAMED])
        return DataError(
            f"None of the {len(entries)} files of {source.uri} is an image by its name: {named}.",
            "Give the folder, archive or prefix that holds the images as input.uri.",
        )
    problem = "is empty" if source.has_folder() else "does not exist or holds nothing"
    return DataError(f"{source.uri} {problem}.", "Correct input.uri.")
