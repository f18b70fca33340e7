from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import rssr
from pipelines.tracking import Run, register_model


def test_mlflow_itself_serves_a_registered_model(
    run: Run, make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    version = register_model(make_model(), "model-x4", run)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", run.tracking_uri)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", run.tracking_uri)
    served = mlflow.pyfunc.load_model(version.uri)
    images = np.random.default_rng(0).integers(0, 256, (2, 20, 24, 3), dtype=np.uint8)
    for scale in (4.0, 2.0):
        expected = np.stack([rssr.super_resolve(image, "bicubic", scale) for image in images])
        np.testing.assert_array_equal(served.predict(images, params={"scale": scale}), expected)
    assert served.predict(images).shape == (2, 80, 96, 3)
    assert served.predict(images[:, :2, :5]).shape == (2, 8, 20, 3), "a low picture is no picture of many bands"
