"""What MLflow runs when it serves a registered model: a script that MLflow stores as it is, not a pickle.

Needs `rssr` in the serving environment (`mlflow models serve --env-manager local`).
"""

from typing import Any

import mlflow
import numpy as np
from mlflow.pyfunc import PythonModel
from mlflow.pyfunc.model import PythonModelContext
from numpy.typing import NDArray

DEFAULT_SCALE = 4.0


class ServedModel(PythonModel):  # type: ignore[misc]  # MLflow ships no usable types
    """A model folder behind MLflow's `predict`."""

    _skip_type_hint_validation = True  # the signature is given; MLflow warns of hints that are arrays, and of none

    def load_context(self, context: PythonModelContext) -> None:
        """Load the folder stored as the artifact `model`."""
        import rssr

        self._model = rssr.load_model(context.artifacts["model"])

    def predict(
        self, context: PythonModelContext, model_input: NDArray[np.uint8], params: dict[str, Any] | None = None
    ) -> NDArray[np.uint8]:
        """Super-resolve pictures.

        Args:
            context: MLflow's.
            model_input: uint8 [B, H, W, C], bands as the card says.
            params: `scale`, the ratio of the sizes.

        Returns:
            uint8 [B, H * scale, W * scale, C].
        """
        import rssr

        scale = float((params or {}).get("scale", DEFAULT_SCALE))
        # Bands go first, where `super_resolve` cannot take a low picture's height for their number.
        batch = np.moveaxis(np.asarray(model_input, np.uint8), -1, 1)
        results = np.stack([rssr.super_resolve(image, self._model, scale) for image in batch])
        return np.ascontiguousarray(np.moveaxis(results, 1, -1))


mlflow.models.set_model(ServedModel())
