"""The images on which methods do worst and middling: what each method made of them, and where they differ most."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.findings import Findings, Place
from pipelines.evaluation.result import ShownImage
from pipelines.report import Estimate, Part, beside, heading, panels, prose, side_by_side
from pipelines.report.images import Encoding, encoding_within
from rssr.value_map import ValueMap

PAGE_BYTES = 12_000_000  # of pictures in sliders; maps, details and words come on top
_DETAIL_SIDE = 64  # HR pixels
_MAP_SIDE = 256  # larger maps are thinned

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Shown:
    """One image, shown once however many reasons there are.

    Attributes:
        image: The image with all pictures.
        reasons: Why it is shown, in words.
    """

    image: ShownImage
    reasons: tuple[str, ...]

    @property
    def label(self) -> str:
        """Its name and scale."""
        row = self.image.row
        return f"{row.dataset}/{row.key}, scale {row.scale:g}"

    @property
    def place(self) -> Place:
        """Where it belongs."""
        return Place(self.image.row.dataset, self.image.row.scale)


def shown_once(images: Iterable[ShownImage]) -> list[Shown]:
    """Images in order; those that several methods chose with all their reasons."""
    found: dict[tuple[str, str, float], Shown] = {}
    for image in images:
        key = (image.row.dataset, image.row.key, image.row.scale)
        reasons = (*found[key].reasons, image.why) if key in found else (image.why,)
        found[key] = Shown(found[key].image if key in found else image, tuple(dict.fromkeys(reasons)))
    return list(found.values())


def pictures(found: Findings, shown: Sequence[Shown]) -> Iterable[Part]:
    """A slider over all methods for each image, and below it the place where they differ most."""
    everything = [picture for item in shown for picture in _pictures(item.image).values()]
    encoding = encoding_within(everything, PAGE_BYTES)
    yield prose(_introduction(encoding))
    for item in shown:
        yield heading(f"{item.label}: {'; '.join(item.reasons)}")
        named = _named(found, item)
        first = _first_shown(found, item, list(named))
        yield beside(side_by_side(named, first, _caption(item), encoding), panels([_detail(item.image)]))


def _introduction(encoding: Encoding) -> str:
    words = (
        "Move the divider with the mouse, a finger or the arrow keys; the two lists choose what stands on its left and "
        "right. Numbers beside the names are of this image. Beside each slider stands the place where the methods "
        f"differ most, {_DETAIL_SIDE} by {_DETAIL_SIDE} pixels enlarged, without loss. The detail that methods add is "
        "plausible, not measured."
    )
    return f"{words} To keep the page small, pictures in sliders are {encoding.words}." if encoding.words else words


def _pictures(image: ShownImage) -> dict[str, Pixels]:
    """LR, all methods, and HR where there is one."""
    return {"LR": image.lr, **image.sr, **({} if image.hr is None else {"HR": image.hr})}


def _named(found: Findings, item: Shown) -> dict[str, Pixels]:
    """The pictures by name, that of a method with its value of the metric that ranks."""
    return {_name(found, item, name): picture for name, picture in _pictures(item.image).items()}


def _name(found: Findings, item: Shown, method: str) -> str:
    spec, row = found.ranking, item.image.row
    if spec is None or method not in item.image.sr:
        return method
    value = found.pairing.values(method, spec.name, row.scale, row.dataset).get((row.dataset, row.key))
    if value is None:
        return method
    unit = f" {spec.unit}" if spec.unit else ""
    return f"{method}, {spec.title} {Estimate(value).value_text(found.digits(spec.name))}{unit}"


def _first_shown(found: Findings, item: Shown, names: Sequence[str]) -> tuple[str, str]:
    """The reference beside the method that chose the image, or the leader where those are the same."""
    methods = list(_pictures(item.image))
    standing = None if found.ranking is None else found.standing(found.ranking.name, item.place)
    wanted = [found.result.reference, item.image.row.method, *([] if standing is None else standing.ranked), *methods]
    left, right = list(dict.fromkeys(name for name in wanted if name in methods))[:2]
    return names[methods.index(left)], names[methods.index(right)]


def _caption(item: Shown) -> str:
    h, w = item.image.lr.shape[:2]
    height, width = max((picture.shape[:2] for picture in item.image.sr.values()), default=(h, w))
    return f"{item.label}: {w} by {h} to {width} by {height} pixels."


def _detail(image: ShownImage) -> tuple[str, dict[str, Pixels]]:
    """The part of each picture where the methods differ most, whole LR pixels of it."""
    height, width = next(iter(image.sr.values())).shape[:2]
    top, left = most_different(list(image.sr.values()), min(_DETAIL_SIDE, height, width))
    ratio = height / image.lr.shape[0], width / image.lr.shape[1]
    side = math.ceil(_DETAIL_SIDE / min(ratio))
    first = [
        max(min(round(at / r), length - side), 0)
        for at, r, length in zip((top, left), ratio, image.lr.shape, strict=False)
    ]
    cut = {name: _cut(picture, first, side, image.lr.shape) for name, picture in _pictures(image).items()}
    return f"Where methods differ most: from row {first[0]}, column {first[1]} of LR", cut


def _cut(picture: Pixels, first: Sequence[int], side: int, lr_shape: tuple[int, ...]) -> Pixels:
    """The part that a square of LR pixels covers, on the picture's own grid."""
    ends = []
    for axis in (0, 1):
        ratio = picture.shape[axis] / lr_shape[axis]
        ends.append(slice(round(first[axis] * ratio), round((first[axis] + side) * ratio)))
    return np.ascontiguousarray(picture[ends[0], ends[1]])


def most_different(images: Sequence[Pixels], side: int) -> tuple[int, int]:
    """Top and left of the square in which images of one place differ most from one another.

    Args:
        images: uint8 [H, W, 3], all of one size.
        side: Of the square, pixels; at most H and W.
    """
    spread = np.std(np.stack([image.mean(axis=2) for image in images]), axis=0)
    sums = np.zeros((spread.shape[0] + 1, spread.shape[1] + 1))
    sums[1:, 1:] = spread.cumsum(axis=0).cumsum(axis=1)
    totals = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(int(totals.argmax()), totals.shape)
    return int(top), int(left)


def maps(item: Shown) -> Iterable[tuple[str, Mapping[str, Pixels | ValueMap]]]:
    """Rows of panels: how far each method is from LR, and its error bars, each on one scale for all methods."""
    for title, found in (
        ("how far SR taken back to LR is from LR", item.image.consistency),
        ("error bars", item.image.uncertainty),
    ):
        if found:
            yield f"{item.label}: {title}", _on_one_scale(found)


def _on_one_scale(found: Mapping[str, ValueMap]) -> dict[str, ValueMap]:
    finite = [own.values[np.isfinite(own.values)] for own in found.values()]
    highest = max((float(np.percentile(values, 99)) for values in finite if values.size), default=0.0)
    return {
        name: replace(own, values=_thinned(own.values), limits=own.limits or (0.0, highest))
        for name, own in found.items()
    }


def _thinned(values: NDArray[np.float32]) -> NDArray[np.float32]:
    step = -(-max(values.shape) // _MAP_SIDE)
    return values[::step, ::step]
