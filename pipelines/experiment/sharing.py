"""How the image pairs of a step are dealt out to training workers."""

from pipelines.experiment.config import JobConfig
from rssr.methods.method import Method
from rssr.methods.training import TrainingConfig


def num_shares(config: JobConfig, training: TrainingConfig) -> int:
    """Equal parts of every micro-batch, so the most workers that a phase can use.

    Args:
        config: The job's configuration.
        training: The phase's settings, as they were typed.
    """
    most = max(config.workers[1], 1)
    if config.batch_size_of == "worker":
        return most
    pairs = training.batch_size
    return next(number for number in range(min(most, pairs), 0, -1) if pairs % number == 0)


def phase_workers(config: JobConfig, training: TrainingConfig) -> tuple[int, int]:
    """Fewest and most workers of a phase; none at least means this process.

    Args:
        config: The job's configuration.
        training: The phase's settings, as they were typed.
    """
    most = num_shares(config, training)
    return min(config.workers[0], most), most


def per_worker(method: Method, config: JobConfig) -> Method:
    """The method with the batch sizes of one worker, which is what training is told.

    Args:
        method: With its settings as they were typed.
        config: The job's configuration.
    """
    if config.batch_size_of == "worker":
        return method
    sections = {name: getattr(method.config, name) for name in type(method.config).model_fields}
    dealt = {
        name: section.model_copy(update={"batch_size": section.batch_size // num_shares(config, section)})
        for name, section in sections.items()
        if isinstance(section, TrainingConfig)
    }
    return type(method)(method.config.model_copy(update=dealt))
