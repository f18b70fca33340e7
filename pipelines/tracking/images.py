"""Pictures of steps, as MLflow's page shows them."""

import re

import numpy as np
from numpy.typing import NDArray

from pipelines.tracking.connection import MlflowClient

_FOLDER = "images"


def check_image(image: NDArray[np.uint8]) -> None:
    """Refuse what is no picture.

    Raises:
        ValueError: Not uint8 [H, W, 3].
    """
    if image.dtype != np.uint8 or image.ndim != 3:
        raise ValueError(f"expected uint8 [H, W, 3], got {image.dtype} {image.shape}")


def send_image(client: MlflowClient, run_id: str, name: str, image: NDArray[np.uint8], step: int) -> None:
    """Record a picture of a step, unless the step has one of this name."""
    if step not in _stored_steps(client, run_id, name):
        client.log_image(run_id, image, key=name, step=step, synchronous=True)


def _stored_steps(client: MlflowClient, run_id: str, name: str) -> set[int]:
    """Steps of the pictures of a name; MLflow tells both in the file's name, parted by `%` or `+`."""
    files = (entry.path.rsplit("/", 1)[-1] for entry in client.list_artifacts(run_id, _FOLDER))
    pattern = re.compile(rf"{re.escape(name)}[%+]step[%+](\d+)[%+]")
    return {int(match[1]) for file in files if (match := pattern.match(file))}
