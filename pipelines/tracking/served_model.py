"""What MLflow runs when it serves a registered model: a script that MLflow stores as it is, not a pickle.

Needs `rssr` in the serving environment (`mlflow models serve --env-manager local`).
"""

import mlflow
import numpy as np
from mlflow.pyfunc import PythonModel
from mlflow.pyfunc.model import PythonModelContext

DEFAULT_SCALE = 4.0


class ServedModel(PythonModel):  # type: ignore[misc]  # MLflow ships no usable types
    """A model folder behind MLflow's `predict`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the folder stored as the artifact `model`."""
        import rssr

        self._model = rssr.load_model(context.artifacts["model"])

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201  # MLflow checks hints itself, and warns of arrays
        """Super-resolve pictures.

        Args:
            context: MLflow's.
            model_input: Array uint8 [B, H, W, C], bands as the card says.
            params: Dict with `scale`, the ratio of the sizes.

        Returns:
            Array uint8 [B, H * scale, W * scale, C].
        """
        import rssr

        scale = float((params or {}).get("scale", DEFAULT_SCALE))
        return np.stack([rssr.super_resolve(image, self._model, scale) for image in np.asarray(model_input, np.uint8)])


mlflow.models.set_model(ServedModel())
