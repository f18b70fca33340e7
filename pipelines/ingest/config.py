"""What an ingest is configured by."""

from pydantic import Field

from pipelines.cluster import RayConfig
from pipelines.datasets.config import SAMPLE_URI
from pipelines.ingest.near_duplicates import MAX_DISTANCE
from rssr.configuration import Config
from rssr.degradation.config import DegradationConfig


class InputConfig(Config):
    """The raw dataset."""

    uri: str = SAMPLE_URI
    """Folder, zip or tar archive, s3:// or other prefix, or shards; `sample` makes procedural images."""
    licence: str | None = None
    """Licence of the images, kept with the shards; what you may do with them is for you to find out."""
    citation: str | None = None
    """Where the images come from, kept with the shards."""


class ShardsOutputConfig(Config):
    """Where the shards go."""

    uri: str = "runs/shards"
    """Folder or s3://bucket/prefix of this dataset's shards alone. Inside a submitted Ray job it must be absolute or a
    URI."""


class DuplicatesConfig(Config):
    """When two images count as the same."""

    max_distance: int = Field(default=11, ge=0, le=MAX_DISTANCE)
    """Bits of 64 in which the perceptual hashes of near-duplicates may differ, in the most alike of eight
    orientations. 11 finds nearly all crops that keep 95 % of an image's area and three quarters of those that keep
    90 %; smaller crops are hardly found. Up to 7 the search is eight times as fast, and finds whole images."""
    min_correlation: float = Field(default=0.9, ge=-1, le=1)
    """Correlation that their 16 by 16 thumbnails reach, one being moved over the other; throws out pairs whose hashes
    are alike by chance."""
    max_shown: int = Field(default=20, ge=0)
    """Pairs printed at the end; all are in duplicates.csv and duplicates.parquet."""


class GalleryConfig(Config):
    """The HR/LR pairs that gallery.html shows."""

    images_per_class: int = Field(default=2, ge=1)
    """Images of each class, chosen by the hash of seed and content."""
    size: int = Field(default=192, ge=16)
    """Larger images are cropped to this side around their centre, HR pixels."""


class IngestConfig(Config):
    """Keys of `jobs/ingest.py`."""

    input: InputConfig = InputConfig()
    """The raw dataset."""
    output: ShardsOutputConfig = ShardsOutputConfig()
    """The shards."""
    layout: str = "auto"
    """How the dataset is laid out, which tells classes and official splits: aid, nwpu-resisc45, dota, dior, folder
    (class = folder), or auto, which looks at the names of the files."""
    shard_bytes: int = Field(default=64 * 10**6, ge=1)
    """Encoded images of one shard, bytes; a larger image has a shard of its own."""
    row_group_bytes: int = Field(default=4 * 10**6, ge=1)
    """Encoded images of one row group of a shard, bytes: what a Parquet reader takes in at once. Training reads single
    images, whatever this is."""
    num_workers: int = Field(default=0, ge=0)
    """Ray tasks that make shards side by side; 0 works in this process, without Ray."""
    num_threads: int = Field(default=8, ge=1)
    """Threads of each worker that read and verify images."""
    max_bytes_in_flight: int = Field(default=64 * 10**6, ge=1)
    """Encoded images that each worker reads ahead, bytes; besides these it holds one shard, twice."""
    max_corrupt_fraction: float = Field(default=0.05, ge=0, le=1)
    """Share of images that may be unreadable; they are listed in shards.json and skipped.csv. More is an error."""
    duplicates: DuplicatesConfig = DuplicatesConfig()
    """The search for images that are there twice."""
    against: tuple[str, ...] = ()
    """Shards of other datasets to look for the same images in, e.g. the test data of a model trained on these."""
    gallery: bool = False
    """Write gallery.html: images of each class beside their LR images, with what the degradation drew."""
    gallery_settings: GalleryConfig = GalleryConfig()
    """What it shows."""
    degradation: DegradationConfig = DegradationConfig.model_validate("slimdiffsr")
    """How the gallery's LR images are made; a bare name stands for a preset: slimdiffsr, real-esrgan or bicubic."""
    scale: float = Field(default=4.0, ge=1)
    """HR/LR size ratio of the gallery."""
    seed: int = Field(default=0, ge=0)
    """Of the gallery's choice and draws."""
    update: bool = False
    """Take over what was added to or changed in the source since the shards were made, and leave out what was removed;
    without it a changed source is told and refused."""
    fresh: bool = False
    """Remove what was ingested to output.uri before, whatever it was, and start over."""
    ray: RayConfig = RayConfig()
    """How to reach Ray; not used where num_workers is 0."""
