"""Configuration: frozen pydantic models, plain YAML presets and `dotted.name=value` overrides.

A config class lives beside what it configures and documents each field with a docstring under it, which becomes
the field's help text. Presets stand alone: they hold values only, never class paths, and inherit from nothing.
"""

import difflib
import hashlib
import json
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, to_jsonable_python

from rssr.errors import ConfigError
from rssr.plain_yaml import read_yaml

JsonValue = Any  # what YAML and JSON can hold; the validated models are typed


class Config(BaseModel):
    """Base of every configuration class: frozen, no unknown keys, docstrings as help."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        coerce_numbers_to_str=True,  # a folder may be called 2024
    )


ConfigT = TypeVar("ConfigT", bound=Config)


def load_config(config_class: type[ConfigT], preset: Path | None, overrides: Sequence[str] = ()) -> ConfigT:
    """Read a preset, apply overrides and validate.

    Args:
        config_class: Class to build.
        preset: YAML file; None starts from the class's defaults.
        overrides: Items like `student.num_steps=200`; the value is read as YAML (`rssr.plain_yaml`). A mapping
            replaces the preset's; a dotted name changes one key of it. An item of the preset's list is called by its
            number, from 0, or by its own `name`: `datasets.0.uri=...`, `datasets.DOTA.uri=...`.

    Raises:
        ConfigError: Naming every unknown, missing or ill-typed key.
    """
    values = _read_preset(preset) if preset is not None else {}
    for override in overrides:
        _apply_override(values, override, config_class)
    try:
        return config_class.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error, config_class), "Run the job with --help to see every key.") from None


def to_yaml(config: Config) -> str:
    """The resolved configuration as YAML, loadable as a preset."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def config_digest(*parts: Config | JsonValue) -> str:
    """SHA-256 of canonical JSON: equal for equal values, whatever the order of keys."""
    plain = [part.model_dump(mode="json") if isinstance(part, Config) else part for part in parts]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def describe(config_class: type[Config]) -> str:
    """Every key with its dotted name, type, default and meaning, for `--help`."""
    lines = []
    for name, field in _walk(config_class):
        lines.append(f"  {name} ({', '.join(filter(None, (_kind_of(field), _default_of(field))))})")
        lines.append(f"      {' '.join((field.description or '').split())}")
    return "\n".join(lines)


def flatten(values: Mapping[str, JsonValue], prefix: str = "") -> dict[str, JsonValue]:
    """Nested mappings to dotted names, e.g. for MLflow's params."""
    flat: dict[str, JsonValue] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def _read_preset(path: Path) -> dict[str, JsonValue]:
    try:
        values = read_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"Preset {path} cannot be read: {error.strerror}.", "Check the path.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"Preset {path} is not a text file.", "Give a YAML file.") from None
    except ValueError as error:
        raise ConfigError(f"Preset {path} is not valid YAML: {error}.") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"Preset {path} must hold a mapping of keys to values, found a {type(values).__name__}.")
    return values


def _apply_override(values: dict[str, JsonValue], override: str, config_class: type[Config]) -> None:
    name, separator, text = override.partition("=")
    if not separator or not name or any(not part for part in name.split(".")):
        raise ConfigError(f"Cannot read the override '{_masked(override)}'.", "Write it as key.sub=value.")
    try:
        value = read_yaml(text)
    except ValueError:
        value = text  # e.g. an unbalanced bracket inside a path; validation decides
    *parents, last = name.split(".")
    target: dict[str, JsonValue] | list[JsonValue] = values
    for depth, parent in enumerate(parents, 1):
        at = _place(target, parent, name)
        child = target.get(at) if isinstance(target, dict) else target[at]
        if child is not None and not isinstance(child, dict | list):
            spelled = _spelled_out(config_class, parents[:depth], child)
            if spelled is None:
                held = f"{_masked(repr(child)):.80}"
                below = ".".join(parents[:depth])
                raise ConfigError(f"'{name}' goes below '{below}', which is {held}.", "Check the key.")
            child = spelled
        target[at] = child = {} if child is None else child
        target = child
    target[_place(target, last, name)] = value


def _place(target: dict[str, JsonValue] | list[JsonValue], part: str, name: str) -> Any:  # noqa: ANN401  # of either
    """Under which key of a mapping, or at which position of a list, a part of a dotted name lies."""
    if isinstance(target, dict):
        return part
    names = [str(item.get("name") if isinstance(item, dict) else item) for item in target]
    if names.count(part) == 1:
        return names.index(part)
    if part.isdecimal() and int(part) < len(target):
        return int(part)
    known = ", ".join(f"{number} ({_masked(item)})" for number, item in enumerate(names)) or "none"
    raise ConfigError(f"'{name}' names '{part}' of a list that does not have it.", f"Its items are: {known:.300}.")


def _spelled_out(config_class: type[Config], path: Sequence[str], value: JsonValue) -> dict[str, JsonValue] | None:
    """The mapping that a bare value stands for, where a class takes one: the single key that means the same."""
    classes = [config_class]
    for part in path:
        fields = [found.model_fields[part] for found in classes if part in found.model_fields]
        classes = [nested for field in fields for nested in _config_classes(field.annotation)]
    for nested in classes:
        try:
            meant = nested.model_validate(value)
            for name in nested.model_fields:
                if getattr(meant, name) == value and nested.model_validate({name: value}) == meant:
                    return {name: value}
        except ValidationError:
            continue
    return None


def _explain(error: ValidationError, config_class: type[Config]) -> str:
    known = [name for name, _ in _walk(config_class)]
    reasons: dict[str, list[str]] = {}
    for item in error.errors(include_url=False):
        if not _follows_from_others(item):
            name = _key_of(item["loc"], config_class)
            reasons.setdefault(name, []).append(_reason(name, item, known))
    return "Bad configuration: " + "; ".join(f"'{key}' {' or '.join(texts)}" for key, texts in reasons.items()) + "."


def _follows_from_others(item: ErrorDetails) -> bool:
    """Whether it is there only because of another: a list is short of faulty items, a faulty mapping is no text."""
    location, value = item["loc"], item["input"]
    if item["type"] == "too_short":
        return isinstance(value, list | tuple) and len(value) >= item["ctx"]["min_length"]
    return location[-1:] == ("str",) and isinstance(location[-2], int) and isinstance(value, dict)


def _reason(name: str, item: ErrorDetails, known: Sequence[str]) -> str:
    if item["type"] == "extra_forbidden":
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        return "is not a key" + (f" (did you mean '{close[0]}'?)" if close else "")
    if item["type"] == "missing":
        return "is required"
    if item["type"] == "tuple_type" and isinstance(item["input"], str):
        return f"needs a list, {name}=[{_masked(item['input']):.80}]"
    message = " ".join(item["msg"].removeprefix("Value error, ").split())
    return f"is refused: {message[:1].lower()}{message[1:]} (got {_masked(repr(item['input'])):.80})"


def _key_of(location: Sequence[int | str], config_class: type[Config]) -> str:
    """The dotted key of an error; positions in lists of plain values and members of unions are left out."""
    names: list[str] = []
    annotations: list[Any] = [config_class]
    parts = iter(location)
    for part in parts:
        if isinstance(part, int):
            annotations = [item for annotation in annotations for item in _items(annotation)]
            if any(get_origin(annotation) in (Union, types.UnionType) for annotation in annotations):
                next(parts, None)  # the member
        classes = [found for annotation in annotations for found in _config_classes(annotation)]
        if not classes:
            break
        names.append(str(part))
        if isinstance(part, str):
            annotations = [found.model_fields[part].annotation for found in classes if part in found.model_fields]
    return ".".join(names) or "configuration"


def _masked(text: str) -> str:
    """Without user names and passwords of URIs."""
    return re.sub(r"(?<=//)[^/@\s]*@", "...@", text)


def _walk(config_class: type[Config], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in config_class.model_fields.items():
        yield f"{prefix}{name}", field
        for nested in _config_classes(field.annotation):
            yield from _walk(nested, f"{prefix}{name}.")
        for nested in (found for item in _items(field.annotation) for found in _config_classes(item)):
            yield from _walk(nested, f"{prefix}{name}.N.")


def _config_classes(annotation: Any) -> list[type[Config]]:  # noqa: ANN401  # an annotation can be any object
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType):
        return [found for part in get_args(annotation) for found in _config_classes(part)]
    return []


def _items(annotation: Any) -> list[Any]:  # noqa: ANN401  # an annotation can be any object
    """What the items of a list may be; nothing where it is none."""
    return [part for part in get_args(annotation) if part is not Ellipsis] if get_origin(annotation) is tuple else []


def _kind_of(field: FieldInfo) -> str:
    if not _config_classes(field.annotation):
        return _type_name(field.annotation)
    return "group or null" if types.NoneType in get_args(field.annotation) else "group"


def _default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Config):
        return ""  # its keys follow, each with its own
    return f"default {value if value and isinstance(value, str) else json.dumps(to_jsonable_python(value))}"


def _type_name(annotation: Any) -> str:  # noqa: ANN401  # an annotation can be any object
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_name(parts[0])
    if origin is Literal:
        return " or ".join(str(part) for part in parts)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type_name(part) for part in parts))
    if origin in (tuple, list):
        kinds = list(dict.fromkeys(_type_name(part) for part in parts if part is not Ellipsis))
        number = "" if origin is list or Ellipsis in parts else f"{len(parts)} "
        return f"list of {number}{', '.join(kinds)}"
    if annotation is types.NoneType:
        return "null"
    if _config_classes(annotation):
        return "group"
    return annotation.__name__.lower() if isinstance(annotation, type) else str(annotation)
