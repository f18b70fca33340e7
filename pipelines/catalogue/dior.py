"""DIOR, Li et al. 2020 (ISPRS JPRS 159): 23,463 images of 800x800 pixels, for object detection, without classes.

Images 1 to 11,725 are for training and validation, the others for tests; which of the first are for validation is in
`ImageSets/Main/train.txt` and `val.txt`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from pipelines.catalogue.layout import Facts, Label, Layout, ReadFile, SplitName
from rssr.errors import DataError

_NUMBER = re.compile(r"\d{5}")
_PLACE = re.compile(r"JPEGImages(?:[ _-](trainval|test))?", re.IGNORECASE)
_LAST_TRAINVAL = 11_725
_LONGEST_LIST_BYTES = 2**20  # 23,463 numbers of 5 digits take 160 kB

_FACTS = Facts(23_463, split_counts={"train": 5_862, "val": 5_863, "test": 11_738})


@dataclass(frozen=True)
class DiorLayout(Layout):
    """`JPEGImages-trainval/<nnnnn>.jpg` and `JPEGImages-test/<nnnnn>.jpg`, or all in `JPEGImages`.

    Attributes:
        listed: Split of each number in the official lists, once they are read; without them all images that are not
            for tests are for training.
    """

    name: str = "dior"
    title: str = "DIOR"
    expects: str = "JPEGImages-trainval/<nnnnn>.jpg and JPEGImages-test/<nnnnn>.jpg"
    facts: Facts = _FACTS
    listed: Mapping[str, SplitName] = field(default_factory=dict)

    def _label_image(self, folders: Sequence[str], stem: str) -> Label | None:
        """No class; the split by the official lists, else by the folder, else by the number."""
        place = _PLACE.fullmatch(folders[-1]) if folders else None
        if place is None or _NUMBER.fullmatch(stem) is None:
            return None
        if stem in self.listed:
            return Label(split=self.listed[stem])
        is_test = place.group(1).lower() == "test" if place.group(1) else int(stem) > _LAST_TRAINVAL
        return Label(split="test" if is_test else "train")

    def informed(self, keys: Sequence[str], read: ReadFile) -> Layout:
        """With the splits of `ImageSets/Main/{train,val,test}.txt`, as far as these are there.

        Raises:
            DataError: A list holds something else than numbers, or puts an image into two splits.
        """
        listed: dict[str, SplitName] = {}
        for key in keys:
            split = _split_of_list(key)
            if split is not None:
                _add(listed, split, key, read(key))
        return DiorLayout(listed=listed)


def _split_of_list(key: str) -> SplitName | None:
    place = f"/{key.lower()}"
    return next((split for split in get_args(SplitName) if place.endswith(f"/imagesets/main/{split}.txt")), None)


def _add(listed: dict[str, SplitName], split: SplitName, key: str, data: bytes) -> None:
    numbers = data.decode("utf-8-sig", "replace").split() if len(data) <= _LONGEST_LIST_BYTES else ["too long"]
    wrong = next((number for number in numbers if _NUMBER.fullmatch(number) is None), None)
    if wrong is not None:
        raise DataError(
            f"{key} is no list of DIOR's image numbers: it holds {wrong[:20]!r}.",
            "Restore the official file, or remove it to split by the folders alone.",
        )
    twice = next((number for number in numbers if listed.get(number, split) != split), None)
    if twice is not None:
        raise DataError(
            f"{key} names image {twice}, which is in the split '{listed[twice]}' already.", "Restore the files."
        )
    listed.update(dict.fromkeys(numbers, split))
