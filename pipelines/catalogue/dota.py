"""DOTA v1.0, Xia et al. 2018 (CVPR): 2,806 images of 800 to 20,000 pixels, for object detection, without classes.

It comes as `train`, `val` and `test`, each with a folder `images` or the parts (`part1.zip` ...) that this is published
in. Version 1.5 has the same images.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pipelines.catalogue.layout import Facts, Label, Layout, SplitName

_NUMBER = re.compile(r"P\d{4,5}", re.IGNORECASE)
_SPLITS: Mapping[str, SplitName] = MappingProxyType(
    {
        "train": "train",
        "training": "train",
        "val": "val",
        "valid": "val",
        "validation": "val",
        "test": "test",
        "testing": "test",
    }
)
_PLACE = re.compile(r"images?|part[ _-]?\d+|dota.*", re.IGNORECASE)  # where images lie, beside splits
_FACTS = Facts(2_806, split_counts={"train": 1_411, "val": 458, "test": 937})


@dataclass(frozen=True)
class DotaLayout(Layout):
    """`{train,val,test}/images/P<nnnn>.png`, or the same without the folders of the splits."""

    name: str = "dota"
    title: str = "DOTA"
    expects: str = "images/P<nnnn>.png, below train, val and test where the official split is wanted"
    facts: Facts = _FACTS

    def _label_image(self, folders: Sequence[str], stem: str) -> Label | None:
        """No class; the split is the innermost folder called like one."""
        if _NUMBER.fullmatch(stem) is None or not _holds_images(folders):
            return None
        return Label(split=next(filter(None, map(_split_of, reversed(folders))), None))


def _holds_images(folders: Sequence[str]) -> bool:
    return not folders or _split_of(folders[-1]) is not None or _PLACE.fullmatch(folders[-1]) is not None


def _split_of(folder: str) -> SplitName | None:
    """The split that a folder is called after: `train`, `DOTA_val`, `test-images`."""
    return next((_SPLITS[part] for part in re.split(r"[\s_-]+", folder.lower()) if part in _SPLITS), None)
