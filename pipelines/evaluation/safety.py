"""Split safety: no method is measured on images that it has learnt from, unless that is asked for, and none unnoticed.

Images are the same where their files are, byte by byte; those that merely resemble are reported
(`pipelines.evaluation.lookalikes`).
"""

import json
import logging
from collections.abc import Collection as AnyCollection
from collections.abc import Iterable, Mapping, Sequence

from pipelines.datasets.manifest import ImageRecord, Manifest
from pipelines.evaluation.learnt import LearntImages, TrainedMethod, learnt_images
from pipelines.evaluation.lookalikes import SplitFindings, find_lookalikes
from pipelines.evaluation.result import SharedImage
from pipelines.progress import printable
from pipelines.storage import Store
from rssr.errors import ConfigError, DataError

log = logging.getLogger(__name__)

_NUM_EXAMPLES = 3
_SAME_BYTES = "an image of the same bytes"


def check_splits(
    methods: Sequence[TrainedMethod],
    datasets: Mapping[str, Manifest],
    allowed: AnyCollection[str],
    home: Store | None,
) -> SplitFindings:
    """Refuse to measure methods on their training images, and find images that resemble these.

    Args:
        methods: The trained ones.
        datasets: Images to measure on, by name of the dataset.
        allowed: Names of methods that may be measured on their training images all the same.
        home: Where fingerprints are kept; None does not look for images that merely resemble.

    Raises:
        DataError: A method has learnt from some of the images, and is not allowed to.
        ConfigError: A method is allowed that is not there.
        ModelError: A card names a list that is not in the model folder.
        StorageError: The images cannot be reached.
    """
    _check_allowed(methods, allowed)
    learnt = [learnt_images(method) for method in methods]
    exact = [(one, name, one.seen_of(manifest.records)) for one in learnt for name, manifest in datasets.items()]
    exact = [(one, name, seen) for one, name, seen in exact if seen]
    refused = [(one, name, seen) for one, name, seen in exact if one.method not in allowed]
    if refused:
        raise _refusal(refused, datasets)
    for one, name, seen in exact:
        log.warning("%s is measured on %d images of %s that it was trained on", one.method, len(seen), name)
    shared = [shared for one, name, seen in exact for shared in _exactly_shared(one, name, seen)]
    notices = [
        f"Whether {one.method} was trained on some of these images is not known: {one.gap}."
        for one in learnt
        if one.gap
    ]
    notices += [note for method in methods for note in _fitted(method, datasets)]
    if home is not None:
        alike = find_lookalikes(learnt, datasets, home)
        shared += alike.shared
        notices += alike.notices
    return SplitFindings(tuple(shared), tuple(notices))


def _check_allowed(methods: Sequence[TrainedMethod], allowed: AnyCollection[str]) -> None:
    names = [method.name for method in methods]
    unknown = [name for name in allowed if name not in names]
    if unknown:
        raise ConfigError(
            f"allow_trained_on names {', '.join(unknown)}, which is no trained method of this evaluation.",
            f"Those are: {', '.join(names) or 'none'}.",
        )


def _refusal(
    refused: Sequence[tuple[LearntImages, str, tuple[ImageRecord, ...]]], datasets: Mapping[str, Manifest]
) -> DataError:
    problems = []
    for one, name, seen in refused:
        examples = ", ".join(printable(record.key) for record in seen[:_NUM_EXAMPLES])
        more = " ..." if len(seen) > _NUM_EXAMPLES else ""
        total = len(datasets[name].records)
        problems.append(f"{one.method} was trained on {len(seen)} of the {total} images of {name}: {examples}{more}.")
    names = list(dict.fromkeys(one.method for one, _, _ in refused))
    value = f"[{', '.join(json.dumps(item) if ' ' in item else item for item in names)}]"
    override = f"'allow_trained_on={value}'" if " " in value else f"allow_trained_on={value}"
    return DataError(
        " ".join(problems),
        "Figures on such images say nothing of others. Measure on other images (the manifest of the training, as a "
        f"dataset's manifest, names those that were held out), or say that it is meant: {override}.",
    )


def _exactly_shared(one: LearntImages, dataset: str, seen: Iterable[ImageRecord]) -> list[SharedImage]:
    keys = one.keys
    return [SharedImage(dataset, record.key, one.method, keys.get(record.sha256, _SAME_BYTES)) for record in seen]


def _fitted(method: TrainedMethod, datasets: Mapping[str, Manifest]) -> list[str]:
    """Datasets with images that a method's error bars were fitted on, though its network has not seen them."""
    fitted = method.card.uncertainty_images(method.folder) if method.card is not None else frozenset()
    counts = {name: sum(record.sha256 in fitted for record in data.records) for name, data in datasets.items()}
    return [
        f"The error bars of {method.name} were fitted on {count} of the {len(datasets[name].records)} images of "
        f"{name}: there they hold better than elsewhere."
        for name, count in counts.items()
        if count
    ]
