"""The steps of the data pipelines: plain callables that take a batch and return a batch, and never import Ray.

A step is configured by plain values, opens what it needs in the process that runs it, and is safe to run again.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class StageResources:
    """What one worker of a stage reserves; declared beside the work, not inside.

    Attributes:
        num_cpus: CPU cores.
        memory_bytes: Resident memory, for planning.
    """

    num_cpus: float
    memory_bytes: int

    def together(self, other: "StageResources") -> "StageResources":
        """What two stages reserve that take turns in one process."""
        return StageResources(max(self.num_cpus, other.num_cpus), self.memory_bytes + other.memory_bytes)
