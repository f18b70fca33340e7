"""What a dataset's layout tells of an image by where it lies and how it is called."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

SplitName = Literal["train", "val", "test"]
ReadFile = Callable[[str], bytes]
"""Called with a key of the listing, returns the file."""

EXTENSIONS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".jp2")

_NUM_ENDINGS = 5  # told of

# What operating systems and file servers leave in folders, previews of the images among it.
_JUNK_FOLDERS = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"})


@dataclass(frozen=True)
class Label:
    """What a layout knows of an image.

    Attributes:
        class_name: In the dataset's own spelling; None where it has no classes.
        split: The official one; None where none is published.
    """

    class_name: str | None = None
    split: SplitName | None = None


@dataclass(frozen=True)
class Facts:
    """What the publishers say the whole dataset holds.

    Attributes:
        num_images: All splits together.
        class_counts: Images of each class; empty where there are no classes.
        split_counts: Images of each official split; empty where none is published.
    """

    num_images: int
    class_counts: Mapping[str, int] = field(default_factory=dict)
    split_counts: Mapping[SplitName, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout(ABC):
    """A dataset as it is published: which files are its images, and what their places mean.

    Attributes:
        name: The value of `data.layout`.
        title: What people call the dataset.
        expects: Where its images lie, for messages.
        facts: How large it is; None where that is not fixed.
    """

    name: str
    title: str
    expects: str
    facts: Facts | None

    def label(self, key: str) -> Label | None:
        """What the key tells; None where it is no image of the dataset: annotation, preview, junk."""
        if not is_image_key(key):
            return None
        *folders, name = key.split("/")
        return self._label_image(folders, name.rpartition(".")[0])

    def informed(self, keys: Sequence[str], read: ReadFile) -> "Layout":
        """The layout after reading the files that it keeps its official splits in, where these are listed.

        Raises:
            DataError: Such a file is damaged.
        """
        return self

    @abstractmethod
    def _label_image(self, folders: Sequence[str], stem: str) -> Label | None:
        """The same of an image, from its folders, outermost first, and its name without ending."""


def describe_others(keys: Iterable[str]) -> str:
    """How many files are no images by their names, by ending: `2 .xml, 1 .gif`; empty where there are none."""
    endings = Counter(PurePosixPath(key).suffix.lower() or "without ending" for key in keys if not is_image_key(key))
    most = ", ".join(f"{number:,} {ending}" for ending, number in endings.most_common(_NUM_ENDINGS))
    more = ", ..." if len(endings) > _NUM_ENDINGS else ""
    return most + more


def is_image_key(key: str) -> bool:
    """Whether a file is an image by its name, neither hidden nor left by an operating system."""
    return key.lower().endswith(EXTENSIONS) and not is_hidden(key)


def is_hidden(key: str) -> bool:
    """Whether a file or a folder above it is hidden, or left by an operating system."""
    return any(part.startswith(".") or part.lower() in _JUNK_FOLDERS for part in key.split("/"))
