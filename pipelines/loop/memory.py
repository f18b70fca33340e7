"""What to do where a step does not fit into memory."""

from rssr.errors import OutOfMemory
from rssr.methods.training import TrainingConfig


def out_of_memory(phase: str, config: TrainingConfig, counts: int = 1) -> OutOfMemory:
    """An error that gives the batch size to try.

    Args:
        phase: The phase's name.
        config: Its settings, with the batch size of one worker.
        counts: Workers whose image pairs the user's `batch_size` counts.
    """
    size = config.batch_size
    problem = f"Phase {phase}: a step with batch_size={size * counts} does not fit into the memory of its device."
    other = [] if config.precision == "bfloat16" else [f"{phase}.precision=bfloat16"]
    if size > 1:
        divisor = next(number for number in range(2, size + 1) if size % number == 0)
        smaller = f"{phase}.batch_size={size // divisor * counts} {phase}.micro_batches_per_step="
        smaller += str(config.micro_batches_per_step * divisor)
        also = f" {other[0]} takes less memory too." if other else ""
        return OutOfMemory(problem, f"Try {smaller}: as many image pairs a step, fewer at once.{also}")
    other += [f"a smaller {phase}.patch_size", f"{phase}.parallelism=shards with several workers"]
    return OutOfMemory(problem, f"Try {', '.join(other[:-1])} or {other[-1]}.")
