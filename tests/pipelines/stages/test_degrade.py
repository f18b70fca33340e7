import numpy as np

from pipelines.stages.degrade import Degrade
from rssr.degradation import degradation_preset, degrade


def test_every_image_gets_its_own_draws() -> None:
    hr = np.random.Generator(np.random.Philox(3)).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    hr[2] = hr[1]
    config = degradation_preset("slimdiffsr")
    batch = {"hr": hr, "seed": np.array([5, 6, 7]), "scale": 2.5, "key": ["a", "b", "c"]}
    out = Degrade(config)(batch)
    assert out["lr"].shape == (3, 12, 12, 3)
    assert out["lr"].dtype == np.uint8
    for position in range(3):
        assert np.array_equal(out["lr"][position], degrade(hr[position], 2.5, config, 5 + position))
    assert not np.array_equal(out["lr"][1], out["lr"][2]), "same image, other seed"
    assert out["key"] == ["a", "b", "c"]
