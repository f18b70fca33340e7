"""What one worker gets from the output, and what the driver takes for a piece of work: measured by doing it."""

import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pipelines.bulk.commits.verify import NUM_CHECKS
from pipelines.cluster import RayConfig, ray_session
from pipelines.estimate.stopwatch import Stopwatch
from pipelines.leases.lease import Lease
from pipelines.storage import Store, is_local, local_path
from pipelines.storage.settings import StorageSettings
from pipelines.storage.store import probe_key
from pipelines.storage.uris import parse_uri

_NUM_PROBES = 3
_NUM_COMMITS = 5
_COMMIT_BYTES = 2048  # about an entry of the ledger
_NUM_PIECES = 200
_IN_FLIGHT = 8


@dataclass
class StoreSamples:
    """What was measured; see `StoreRates`."""

    fetch_bytes_per_s: list[float] = field(default_factory=list)
    upload_bytes_per_s: list[float] = field(default_factory=list)
    commit_s: list[float] = field(default_factory=list)
    lease_s: list[float] = field(default_factory=list)
    verify_bytes_per_s: list[float] = field(default_factory=list)


def probe_output(store: Store, num_bytes: int) -> StoreSamples:
    """Write objects that nobody sees, read them back, and remove them.

    Args:
        store: The output.
        num_bytes: Size of a large one.

    Raises:
        StorageError: It cannot be written or read.
    """
    samples, made = StoreSamples(), _missing_folders(store)
    keys = [probe_key() for _ in range(_NUM_PROBES + _NUM_COMMITS)]
    large = keys[:_NUM_PROBES]
    try:
        for key in large:
            upload_s = _seconds(partial(store.write_bytes, key, os.urandom(num_bytes)))
            samples.upload_bytes_per_s.append(num_bytes / upload_s)
            samples.fetch_bytes_per_s.append(num_bytes / _seconds(partial(store.read_bytes, key)))
        for key in keys[_NUM_PROBES:]:
            samples.commit_s.append(_seconds(partial(store.put_if_absent, key, os.urandom(_COMMIT_BYTES))))
        checked_s = _seconds(partial(_check_side_by_side, store, large))
        samples.verify_bytes_per_s.append(num_bytes * NUM_CHECKS / checked_s)
        if not store.enforces_conditional_upload():
            samples.lease_s += [_seconds(partial(_take_lease, store)) for _ in range(_NUM_PROBES)]
    finally:
        for key in keys:
            store.delete(key)
        for folder in made:
            with suppress(OSError):  # others may have begun to use it
                folder.rmdir()
    return samples


def time_dispatch(config: RayConfig) -> list[float]:
    """Seconds for each of many pieces of work without content that an idle actor is given."""
    with ray_session(config):
        import ray

        actor = ray.remote(_Idle).options(num_cpus=0).remote()
        ray.get(actor.answer.remote(""))
        times = []
        for _ in range(_NUM_PROBES):
            running = []
            with Stopwatch() as watch:
                for number in range(_NUM_PIECES):
                    running.append(actor.answer.remote(f"r{number:04d}c0000"))
                    if len(running) >= _IN_FLIGHT:
                        finished, running = ray.wait(running, num_returns=1)
                        ray.get(finished)
                ray.get(running)
            times.append(watch.seconds / _NUM_PIECES)
        ray.kill(actor)
    return times


def place_of(uri: str, settings: StorageSettings) -> str:
    """Where a location lies, as far as speed goes: a mounted disk, or a bucket at its server."""
    location = parse_uri(uri)
    if location.scheme == "file":
        path = Path(location.path)
        while not path.is_mount() and path != path.parent:
            path = path.parent
        return f"disk mounted at {path}"
    server = settings.endpoint_url or "" if location.scheme.startswith("s3") else ""
    return f"{location.scheme}://{location.bucket}{f' at {server}' if server else ''}"


class _Idle:
    """Answers at once."""

    def answer(self, key: str) -> str:
        return key


def _missing_folders(store: Store) -> list[Path]:
    """Local folders that writing to a store will make, the innermost first."""
    folder = local_path(store.uri) if is_local(store.uri) else None
    return [] if folder is None else [each for each in (folder, *folder.parents) if not each.exists()]


def _check_side_by_side(store: Store, keys: Sequence[str]) -> None:
    """Read objects as verification reads those of as many products."""
    with ThreadPoolExecutor(NUM_CHECKS) as pool:
        list(pool.map(store.sha256, itertools.islice(itertools.cycle(keys), NUM_CHECKS)))


def _take_lease(store: Store) -> None:
    """As for the commit of a product."""
    with Lease(store, probe_key(), "measuring"):
        pass


def _seconds(act: Callable[[], object]) -> float:
    with Stopwatch() as watch:
        act()
    return watch.seconds
