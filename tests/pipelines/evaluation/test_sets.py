import math

import numpy as np
import pytest

from pipelines.evaluation.sets import WHOLE_SET, FeatureSets
from pipelines.evaluation.work import OF_ALL_METHODS
from rssr.metrics.distribution import frechet_distance, kernel_distance
from rssr.seeds import derive_seed

PLACE = ("set", 4.0)


def features(number: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {f"{n}.png": random.normal(seed, 1, 16).astype(np.float32) for n in range(number)}


def filled(hr: dict[str, np.ndarray], methods: dict[str, dict[str, np.ndarray]]) -> FeatureSets:
    sets = FeatureSets(("fid", "kid"), seed=5)
    for key, values in hr.items():
        sets.add(PLACE, OF_ALL_METHODS, key, values)
        for name, of_images in methods.items():
            if key in of_images:
                sets.add(PLACE, name, key, of_images[key])
    return sets


def test_a_method_is_compared_with_the_very_images_that_it_has() -> None:
    hr, one, two = features(8, 0), features(8, 1), features(6, 2)
    values, failures = filled(hr, {"one": one, "two": two}).values()
    assert failures == []
    assert [(value.method, value.metric, value.num_images) for value in values] == [
        *(("one", metric, 8) for metric in ("fid", "kid")),
        *(("two", metric, 6) for metric in ("fid", "kid")),
    ]
    truth = np.stack(list(hr.values())[:6])
    fid, kid = (value for value in values if value.method == "two")
    assert fid.value == frechet_distance(np.stack(list(two.values())), truth)
    assert math.isnan(fid.low)
    assert "6 images are fewer" in fid.warning
    expected = kernel_distance(np.stack(list(two.values())), truth, seed=derive_seed(5, "kid"))
    assert (kid.value, kid.low, kid.high, kid.warning) == (*expected, "")


def test_too_few_images_are_a_failure_and_no_number() -> None:
    values, [failure] = filled(features(2, 0), {"one": features(1, 1)}).values()
    assert values == []
    assert (failure.dataset, failure.key, failure.scale, failure.method) == ("set", WHOLE_SET, 4.0, "one")
    assert "at least 2 images" in failure.reason


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_is_measured_where_nothing_is_asked_for(seed: int) -> None:
    assert FeatureSets((), seed).values() == ([], [])
