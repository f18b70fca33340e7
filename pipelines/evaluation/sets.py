"""Measures of whole sets of images: FID, and KID with its interval beside it."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from pipelines.evaluation.measures import Features
from pipelines.evaluation.result import Failure, SetValue
from pipelines.evaluation.work import OF_ALL_METHODS
from rssr.errors import DataError
from rssr.metrics.distribution import few_images_warning, frechet_distance, kernel_distance
from rssr.seeds import derive_seed

WHOLE_SET = "(the whole set)"
"""Stands for an image where a failure concerns all of them."""

Place = tuple[str, float]  # dataset and scale


class FeatureSets:
    """Features of HR images and of what methods made of them, image by image.

    Args:
        metrics: Names of the measures.
        seed: Of KID's subsets.
    """

    def __init__(self, metrics: Sequence[str], seed: int) -> None:
        self._metrics = metrics
        self._seed = seed
        self._features: dict[Place, dict[str, dict[str, Features]]] = defaultdict(lambda: defaultdict(dict))

    def add(self, place: Place, method: str, key: str, features: Features) -> None:
        """Take features in.

        Args:
            place: Dataset and scale.
            method: Name of the method; `OF_ALL_METHODS` for the HR image.
            key: Of the image.
            features: [2048].
        """
        self._features[place][method][key] = features

    def values(self) -> tuple[list[SetValue], list[Failure]]:
        """All measures of all sets, ordered by dataset, scale and method; and those that could not be had."""
        values: list[SetValue] = []
        failures: list[Failure] = []
        for place, of_methods in self._features.items():
            truth = of_methods.get(OF_ALL_METHODS, {})
            for method, of_images in of_methods.items():
                if method != OF_ALL_METHODS:
                    keys = [key for key in of_images if key in truth]
                    try:
                        values += self._measure(place, method, *(_stacked(part, keys) for part in (of_images, truth)))
                    except DataError as error:
                        failures.append(Failure(place[0], WHOLE_SET, str(error), place[1], method))
        return values, failures

    def _measure(self, place: Place, method: str, sr: Features, hr: Features) -> Iterator[SetValue]:
        """Of the images that the method has, against those very images."""
        warning = few_images_warning(len(sr))
        for metric in self._metrics:
            if metric == "fid":
                figures = (frechet_distance(sr, hr), math.nan, math.nan)
            else:
                figures = (*kernel_distance(sr, hr, seed=derive_seed(self._seed, "kid")),)
            yield SetValue(*place, method, metric, *figures, len(sr), warning if metric == "fid" else "")


def _stacked(features: dict[str, Features], keys: Sequence[str]) -> Features:
    return np.stack([features[key] for key in keys]) if keys else np.empty((0, 1), np.float32)
