"""What an output is a run of: written once, compared ever after."""

import json
import logging
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from pipelines.bulk.config import BulkConfig
from pipelines.bulk.inputs.names import LAYERS
from pipelines.bulk.planning.plan_files import read_plan
from pipelines.bulk.records import DRIVER_LEASE, MARKED_FOLDER, RUN_KEY, WORK_FOLDER, RunIdentity
from pipelines.bulk.threads import in_threads
from pipelines.models import ModelSource
from pipelines.storage import ObjectMissing, Store
from pipelines.timestamps import timestamp
from rssr.configuration import config_digest, flatten
from rssr.errors import ConfigError, DataError

log = logging.getLogger(__name__)

_LIBRARIES = ("rssr", "torch", "numpy", "rasterio", "pillow", "opencv-python-headless")
"""Those whose versions may show in products."""


def run_identity(config: BulkConfig, model: ModelSource, now: datetime) -> RunIdentity:
    """What a run of this configuration is, if it began now."""
    values = config.product_values()
    return RunIdentity(
        digest=config_digest(values, model.digest),
        model=model.name,
        model_digest=model.digest,
        values=values,
        planned_at=timestamp(now),
        software={name: _version(name) for name in _LIBRARIES},
    )


def begun_run(store: Store) -> RunIdentity | None:
    """The run that an output holds; None where it holds none.

    Raises:
        DataError: Its record is damaged.
    """
    try:
        data = store.read_bytes(RUN_KEY)
    except ObjectMissing:
        return None
    try:
        return RunIdentity.from_json(data)
    except (ValueError, TypeError):
        raise DataError(
            f"{store.describe(RUN_KEY)} is damaged, or of another version.",
            "Choose another output, or forget the run in this one with fresh=true.",
        ) from None


def open_run(store: Store, wanted: RunIdentity) -> RunIdentity:
    """Begin a run in an output, or go on with the same one; the record that lies there tells when it was planned.

    Raises:
        ConfigError: The output holds another run; says in what it differs.
        DataError: The record there is damaged.
        StorageError: The store refuses.
    """
    begun = begun_run(store)
    if begun is None and not store.put_if_absent(RUN_KEY, wanted.to_json()):
        begun = begun_run(store)  # another driver was faster
    if begun is None:
        return wanted
    require_same(store, begun, wanted)
    return begun


def require_same(store: Store, begun: RunIdentity, wanted: RunIdentity) -> None:
    """Refuse to mix products of two configurations in one output.

    Raises:
        ConfigError: With what differs.
    """
    if begun.digest != wanted.digest:
        there, now = _shown(begun), _shown(wanted)
        names = sorted(name for name in there.keys() | now.keys() if there.get(name) != now.get(name))
        differences = "; ".join(f"{name} {_text(there, name)} there, {_text(now, name)} now" for name in names)
        raise ConfigError(
            f"{store.uri} holds a run of another configuration: {differences}.",
            "Choose another output, or forget that run with its products by fresh=true.",
        )
    changed = [name for name in wanted.software if begun.software.get(name) != wanted.software[name]]
    if changed:
        told = ", ".join(f"{name} {begun.software.get(name)} then, {wanted.software[name]} now" for name in changed)
        log.warning("Products of this run may differ in their bytes from earlier ones: %s.", told)


def forget_run(store: Store) -> int:
    """Remove a run with its products, its record last, so that a half-forgotten run is still that run.

    Returns:
        Number of objects removed.

    Raises:
        StorageError: The store refuses.
    """
    if begun_run(store) is None:
        return 0
    own = {key for scene in read_plan(store) for key in product_keys(scene.name)}
    folders = tuple(f"{folder}/" for folder in (WORK_FOLDER, RUN_KEY.partition("/")[0]))
    keys = [entry.key for entry in store.list()]
    products = [key for key in keys if key in own]
    kept = (RUN_KEY, DRIVER_LEASE)  # the lease is that of the run which begins
    others = [key for key in keys if key.startswith(folders) and not key.startswith(kept)]  # the plan names products
    for doomed in (products, others, [RUN_KEY]):
        for _ in in_threads(store.delete, doomed):
            pass
    return len(products) + len(others) + 1


def product_keys(name: str) -> Iterator[str]:
    """Keys of all files that a scene's products may have, published or marked."""
    for folder in ("", f"{MARKED_FOLDER}/"):
        yield from (f"{folder}{name}{layer}.tif" for layer in LAYERS)
        yield from (f"{folder}{name}{ending}" for ending in (".png", ".json"))


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def _shown(run: RunIdentity) -> dict[str, str]:
    """What decides a run's products, by the keys that users know."""
    model = f"{run.model} ({run.model_digest[:12]})" if run.model_digest else run.model
    plain = {name: json.dumps(value) for name, value in flatten(run.values).items()}
    return {"model": model, **{name: text.strip('"') for name, text in plain.items()}}


def _text(values: Mapping[str, str], name: str) -> str:
    return values.get(name, "unknown")
