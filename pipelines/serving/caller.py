"""Who asks."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """Whose request it is: archives belong to their caller, and quotas count by it.

    Attributes:
        name: Of the key, as the operator called it; `local` where no key is needed.
    """

    name: str = "local"
