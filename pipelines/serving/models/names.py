"""From what a request calls a model to what is served."""

from pipelines.serving.config import ModelConfig, ServeConfig
from pipelines.serving.problems import Problem


def model_named(config: ServeConfig, name: str | None) -> ModelConfig:
    """The model that a request names; the first one where it names none.

    Raises:
        Problem: There is none of this name.
    """
    if name is None:
        return config.served[0]
    found = next((model for model in config.served if model.name == name), None)
    if found is None:
        known = ", ".join(model.name for model in config.served)
        raise Problem("model-unknown", "No model of this name is served.", f"Models are: {known}.")
    return found
