"""Make the LR images of a batch."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.stages import StageResources
from rssr.degradation import DegradationConfig, configure_worker_threads, degrade

RESOURCES = StageResources(num_cpus=1, memory_bytes=200 * 2**20)


class Degrade:
    """Degrade every HR patch of a batch with its own draws. Stateless; safe to run again.

    Args:
        config: Ranges and probabilities of the degradation.
    """

    def __init__(self, config: DegradationConfig) -> None:
        self._config = config
        configure_worker_threads()

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Add the LR images.

        Args:
            batch: Holds `hr` uint8 [B, H, W, 3] (for kind `sentinel2` float32 [B, H, W, C]), `seed` (B whole numbers)
                and `scale`.

        Returns:
            The batch with `lr` of the same type, [B, h, w, C].
        """
        scale = float(batch["scale"])
        pairs = zip(batch["hr"], batch["seed"], strict=True)
        return {**batch, "lr": np.stack([degrade(hr, scale, self._config, int(seed)) for hr, seed in pairs])}
