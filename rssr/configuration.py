"""Configuration: frozen pydantic models, plain YAML presets and `dotted.name=value` overrides.

A config class lives beside what it configures and documents each field with a docstring under it, which becomes
the field's help text. Presets stand alone: they hold values only, never class paths, and inherit from nothing.
"""

import hashlib
import json
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticUndefined

from rssr.errors import ConfigError

JsonValue = Any  # what YAML and JSON can hold; the validated models are typed


class Config(BaseModel):
    """Base of every configuration class: frozen, no unknown keys, docstrings as help."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )


ConfigT = TypeVar("ConfigT", bound=Config)


def load_config(config_class: type[ConfigT], preset: Path | None, overrides: Sequence[str] = ()) -> ConfigT:
    """Read a preset, apply overrides and validate.

    Args:
        config_class: Class to build.
        preset: YAML file; None starts from the class's defaults.
        overrides: Items like `student.num_steps=200`; the value is read as YAML.

    Raises:
        ConfigError: Naming every unknown, missing or ill-typed key.
    """
    values = _read_preset(preset) if preset is not None else {}
    for override in overrides:
        _apply_override(values, override)
    try:
        return config_class.model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            _explain(error, config_class), "Run the job with --help to see every key."
        ) from None


def to_yaml(config: Config) -> str:
    """The resolved configuration as YAML, loadable as a preset."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def config_digest(*parts: Config | JsonValue) -> str:
    """SHA-256 of canonical JSON: equal for equal values, whatever the order of keys."""
    plain = [part.model_dump(mode="json") if isinstance(part, Config) else part for part in parts]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def describe(config_class: type[Config]) -> str:
    """One line a key: dotted name, type, default and meaning, for `--help`."""
    lines = []
    for name, kind, default, meaning in _walk(config_class):
        lines.append(f"  {name} ({kind}, {default})")
        lines.append(f"      {meaning}")
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
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"Preset {path} cannot be read: {error.strerror}.", "Check the path.") from None
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"Preset {path} is not valid YAML: {error}.") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(
            f"Preset {path} must hold a mapping of keys to values, found a {type(values).__name__}."
        )
    return values


def _apply_override(values: dict[str, JsonValue], override: str) -> None:
    name, separator, text = override.partition("=")
    if not separator or not name or any(not part for part in name.split(".")):
        raise ConfigError(f"Cannot read the override '{override}'.", "Write it as key.sub=value.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text  # e.g. an unbalanced bracket inside a path; validation decides
    *parents, last = name.split(".")
    target = values
    for parent in parents:
        child = target.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(
                f"'{name}' goes below '{parent}', which holds a single value.", "Check the key."
            )
        target = child
    target[last] = value


def _explain(error: ValidationError, config_class: type[Config]) -> str:
    known = [name for name, *_ in _walk(config_class)]
    reasons = []
    for item in error.errors(include_url=False):
        name = ".".join(str(part) for part in item["loc"]) or "configuration"
        if item["type"] == "extra_forbidden":
            reasons.append(f"'{name}' is not a key{_nearest(name, known)}")
        elif item["type"] == "missing":
            reasons.append(f"'{name}' is required")
        else:
            reasons.append(
                f"'{name}': {item['msg'][:1].lower()}{item['msg'][1:]} (got {item['input']!r:.80})"
            )
    return "Bad configuration: " + "; ".join(reasons) + "."


def _nearest(name: str, known: Sequence[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _walk(config_class: type[Config], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    for name, field in config_class.model_fields.items():
        nested = _config_classes(field.annotation)
        if nested:
            for child in nested:
                yield from _walk(child, f"{prefix}{name}.")
            continue
        if field.default_factory is not None:
            default = f"default {field.get_default(call_default_factory=True)!r}"
        else:
            default = "required" if field.default is PydanticUndefined else f"default {field.default!r}"
        yield (
            f"{prefix}{name}",
            _type_name(field.annotation),
            default,
            " ".join((field.description or "").split()),
        )


def _config_classes(annotation: Any) -> list[type[Config]]:  # noqa: ANN401  # an annotation can be any object
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType):
        return [found for part in get_args(annotation) for found in _config_classes(part)]
    return []


def _type_name(annotation: Any) -> str:  # noqa: ANN401  # an annotation can be any object
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("pathlib.", "")
