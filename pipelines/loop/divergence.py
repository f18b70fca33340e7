"""When a training has gone wrong: losses that are no numbers, or a multiple of anything seen lately."""

import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from rssr.errors import TrainingDiverged

_WINDOW = 100  # steps that are remembered
_EXAMINED = ("loss/", "gradient_norm/")


class DivergenceGuard:
    """Tells bad steps, and gives up after too many of them in a row.

    A step is bad where a loss or the norm of gradients is not finite, or where a loss is more than `max_growth` times
    the largest of the last hundred good steps.

    Args:
        phase: Its name, for messages.
        patience: Bad steps in a row that are borne.
        max_growth: See above.
        last_good: Tells where the newest checkpoint is, for the message.
    """

    def __init__(self, phase: str, patience: int, max_growth: float, last_good: Callable[[], str]) -> None:
        self._phase = phase
        self._patience = patience
        self._max_growth = max_growth
        self._last_good = last_good
        self._recent: dict[str, deque[float]] = {}
        self._num_bad = 0

    @property
    def in_doubt(self) -> bool:
        """Whether the newest step was bad: no time to keep the weights."""
        return self._num_bad > 0

    def is_good(self, step: int, terms: Mapping[str, float]) -> bool:
        """Examine a step's terms.

        Args:
            step: The step.
            terms: Losses and norms of gradients by name, equal on all processes.

        Raises:
            TrainingDiverged: Patience has come to its end.
        """
        examined = {name: value for name, value in terms.items() if name.startswith(_EXAMINED)}
        wrong = next((told for name, value in examined.items() if (told := self._wrong(name, value))), None)
        if wrong is None:
            self._num_bad = 0
            for name, value in examined.items():
                self._recent.setdefault(name, deque(maxlen=_WINDOW)).append(abs(value))
            return True
        self._num_bad += 1
        if self._num_bad > self._patience:
            raise TrainingDiverged(
                f"Phase {self._phase}, step {step}: {wrong}; {self._num_bad} bad steps in a row.",
                f"Lower the learning rate. The last good checkpoint is {self._last_good()}, where a rerun goes on.",
            )
        return False

    def to_json(self) -> dict[str, Any]:
        """Plain values that `restore` takes."""
        return {"recent": {name: list(values) for name, values in self._recent.items()}, "num_bad": self._num_bad}

    def restore(self, values: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._recent = {name: deque(recent, maxlen=_WINDOW) for name, recent in values["recent"].items()}
        self._num_bad = int(values["num_bad"])

    def _wrong(self, name: str, value: float) -> str | None:
        if not math.isfinite(value):
            return f"{name} is not finite"
        recent = self._recent.get(name, ())
        if name.startswith("loss/") and len(recent) == _WINDOW and abs(value) > self._max_growth * max(recent):
            return f"{name} is {value:.3g}, {abs(value) / max(max(recent), 1e-30):.0f} times what it was lately"
        return None
