"""Architecture values: frozen dataclasses that come from keyword arguments or a model folder's JSON."""

import difflib
import types
from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from rssr.errors import ModelError

ArchitectureT = TypeVar("ArchitectureT")
Values = Mapping[str, object]


def read_architecture(kind: type[ArchitectureT], values: Values, may_be_empty: Collection[str] = ()) -> ArchitectureT:
    """Build a dataclass from plain values; lists become tuples.

    Args:
        kind: The dataclass.
        values: By name.
        may_be_empty: Names whose lists need no item.

    Raises:
        ModelError: Naming a key that is unknown or ill-typed.
    """
    hints = get_type_hints(kind)
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # a dataclass by contract
    unknown = [key for key in values if key not in known]
    if unknown:
        close = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f"Did you mean '{close[0]}'?" if close else f"Known are: {', '.join(known)}."
        raise ModelError(f"The architecture has no value '{unknown[0]}'.", hint)
    empty = {key: () for key, value in values.items() if key in may_be_empty and value in ([], ())}
    return kind(**{key: _typed(key, value, hints[key]) for key, value in values.items() if key not in empty}, **empty)


def plain_architecture(architecture: Any) -> dict[str, Any]:  # noqa: ANN401  # any dataclass instance
    """Values as JSON holds them: tuples become lists."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(architecture).items()}


def _typed(key: str, value: object, hint: Any) -> object:  # noqa: ANN401  # an annotation can be any object
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        if isinstance(value, (list, tuple)) and value and all(_is_a(part, item) for part in value):
            return tuple(value)
        raise ModelError(f"The architecture value '{key}' must be a list of {item.__name__}, got {value!r}.")
    if hint is float and _is_a(value, int):
        return float(value)  # type: ignore[arg-type]  # an int, as just checked
    allowed = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if not any(_is_a(value, kind) for kind in allowed):
        names = " or ".join(kind.__name__ for kind in allowed)
        raise ModelError(f"The architecture value '{key}' must be of type {names}, got {value!r}.")
    return value


def _is_a(value: object, kind: type) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
