"""Rates in files: those of this machine, found again by what they were measured for, and those of other machines."""

import logging
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pipelines.estimate.speed import ModelRates, Rates, StoreRates
from pipelines.storage.cache import cache_folder
from rssr.configuration import config_digest
from rssr.errors import ConfigError, StorageError
from rssr.publish import write_aside

log = logging.getLogger(__name__)

KeptT = TypeVar("KeptT", ModelRates, StoreRates)
RatesT = TypeVar("RatesT", bound=BaseModel)

_KIND = "rates"


def find_kept(kind: type[KeptT], key: dict[str, Any]) -> KeptT | None:
    """Rates that this machine measured before for the same thing; None where there are none that can be read.

    Args:
        kind: Of a model or of stores.
        key: What they were measured for: hardware, versions, model and settings, or places.
    """
    path = _path(kind, key)
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.warning("%s is not what it should be and will be measured anew: %s", path, str(error).splitlines()[0])
        return None


def keep(rates: ModelRates | StoreRates, key: dict[str, Any]) -> None:
    """Put rates where `find_kept` finds them; where that cannot be written, they are measured again next time."""
    path = _path(type(rates), key)
    try:
        _write(path, rates)
    except StorageError as error:
        log.warning("The measured rates cannot be kept: %s", error)


def read_rates(path: Path) -> Rates:
    """Rates that `write_rates` wrote, here or on another machine.

    Raises:
        ConfigError: There is no such file, or it holds something else.
    """
    return read_rates_file(Rates, path, "plan", "rates")


def read_rates_file(kind: type[RatesT], path: Path, section: str, what: str) -> RatesT:
    """Rates of any kind, from a file of JSON.

    Args:
        kind: What the file holds.
        path: Where it lies.
        section: Of the configuration, whose keys `rates` and `save_rates` name such files.
        what: What messages call its content.

    Raises:
        ConfigError: There is no such file, or it holds something else.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{section}.rates={path} cannot be read: {error.strerror}.", "Check the path.") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(
            f"{section}.rates={path} holds no {what}: {place}: {first['msg']}.",
            f"Have it written where the work shall be done, by {section}.save_rates=FILE.",
        ) from None


def write_rates(rates: Rates, path: Path) -> None:
    """Write a file for `read_rates`.

    Raises:
        StorageError: It cannot be written.
    """
    _write(path, rates)


def _write(path: Path, rates: ModelRates | StoreRates | Rates) -> None:
    with write_aside(path) as aside:
        aside.write_text(rates.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _path(kind: type[ModelRates | StoreRates], key: dict[str, Any]) -> Path:
    return cache_folder(_KIND) / f"{kind.__name__}-{config_digest(key)[:32]}.json"
