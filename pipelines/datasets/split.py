"""Hold images out: seeded, spread over the classes, and never half of a pair of duplicates."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rssr.errors import DataError
from rssr.seeds import derive_seed


@dataclass(frozen=True)
class Candidate:
    """An image as far as the split looks at it; images of one digest are one for it."""

    sha256: str
    class_name: str | None


def choose_test_digests(candidates: Sequence[Candidate], num_test: int, seed: int) -> set[str]:
    """Digests of the images to hold out.

    Each class gives its share of `num_test`, rounded so that the sum is right (largest remainders). Within a class
    the order is a hash of seed and content: it depends neither on names nor on which other images there are.

    Args:
        candidates: Images, duplicates included; a duplicate counts once, in the class where it comes first.
        num_test: Distinct images to hold out.
        seed: Of the split.

    Raises:
        DataError: This would leave no image to train on.
    """
    by_class: dict[str, list[str]] = defaultdict(list)
    for digest, class_name in _distinct(candidates).items():
        by_class[class_name or ""].append(digest)
    num_distinct = sum(len(digests) for digests in by_class.values())
    if num_test >= num_distinct:
        raise DataError(
            f"Holding out {num_test} of {num_distinct} distinct images leaves none to train on.",
            "Lower data.num_test or data.test_fraction, or give more images.",
        )
    shares = _largest_remainders({name: len(digests) for name, digests in by_class.items()}, num_test)
    chosen: set[str] = set()
    for name, digests in by_class.items():
        order = sorted(digests, key=lambda digest: (derive_seed(seed, "split", digest), digest))
        chosen.update(order[: shares[name]])
    return chosen


def _distinct(candidates: Sequence[Candidate]) -> dict[str, str | None]:
    classes: dict[str, str | None] = {}
    for candidate in candidates:
        classes.setdefault(candidate.sha256, candidate.class_name)
    return classes


def _largest_remainders(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Whole numbers proportional to sizes that add up to total; ties go to the first name."""
    num = sum(sizes.values())
    shares = {name: total * size // num for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: (-(total * sizes[name] % num), name))
    for name in by_remainder[: total - sum(shares.values())]:
        shares[name] += 1
    return shares
