"""Kill parts of the service at random moments while it is asked many things at a time.

A service with two replicas of a narrow LDCSR on CPU is asked, by four callers at a time, for images, archives, their
states and items, models and health. Meanwhile its processes are killed with SIGKILL under requests drawn at random, in
every 100 requests each kind once: a replica of the model, one of the ingress, the archive runner, Serve's controller,
Serve's proxy. Each request must be answered, either at once, or after errors that say that they are temporary, within
two minutes; images must have the bytes of an undisturbed answer; and each archive that was asked for must be there
once, end, and have the products of an undisturbed one. Exits with 1 where something is amiss.

Run: python benchmarks/chaos_serve.py [--requests 200] [--seed 0] [--only replica,ingress,runner,controller,proxy]
"""

import argparse
import hashlib
import json
import random
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # ships no stubs
import torch

if not __package__:  # started as a file, perhaps where rssr is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.local_service import (
    MODEL,
    SCALE,
    LocalService,
    local_service,
    make_scene,
    served_model,
    wait_until_ready,
)
from benchmarks.measuring import describe_machine, markdown_table
from rssr.client import Client, ServiceError
from rssr.raster import open_raster

FAULTS = {
    "replica": f"ServeReplica:rssr:model-{MODEL}",
    "ingress": "ServeReplica:rssr:Ingress",
    "runner": "ServeReplica:rssr:Archives",
    "controller": "ServeController",
    "proxy": "ProxyActor",
}
"""What is killed, and what the titles of its processes hold."""

_SETTINGS = (
    served_model("{min_replicas: 2, max_replicas: 2}", "{num_cpus: 0.5}"),
    "ingress.num_replicas=2",
    "security.read_places=[{folder}/place]",
    "security.write_places=[{folder}/place]",
)
_KINDS = {"image": 90, "state": 40, "items": 20, "models": 20, "health": 20, "archive": 10}  # of 200
_CALLERS = 4
_BOUND_S = 120.0
_ARCHIVES_S = 600.0
_LATEST_S = 0.3  # after the beginning of the request that something is killed under
_NUM_SCENES, _SCENE_SIDE = 3, 48


@dataclass
class Asked:
    """A request, and how it went.

    Attributes:
        kind: Of request.
        errors: What came before the answer, e.g. `503 busy`.
        seconds: Until the answer, or until it was given up.
        amiss: What is wrong with it; empty for nothing.
    """

    kind: str
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0
    amiss: str = ""


@dataclass
class Desk:
    """What the callers share.

    Attributes:
        service: That is asked.
        image: That is sent.
        expected: SHA-256 of its answer.
        keys: Idempotency keys of archives, and the ids they got.
    """

    service: LocalService
    image: bytes
    expected: str = ""
    keys: dict[str, str] = field(default_factory=dict)

    def client(self) -> Client:
        """One that does not try again by itself."""
        return Client(self.service.url, timeout_s=60.0, max_attempts=1)

    def ask(self, kind: str, rng: random.Random) -> Callable[[Client], str]:
        """What to do, and again after a temporary error; it returns what is amiss."""
        known = sorted(self.keys.values())
        if kind == "image" or (kind in ("state", "items") and not known):
            return self._image
        if kind == "archive":
            key = uuid.uuid4().hex
            return lambda client: self._archive(client, key)
        if kind == "state":
            return lambda client: "" if client.archives.get(rng.choice(known)).id in known else "another archive"
        if kind == "items":
            return lambda client: (
                "" if len(list(client.archives.items(rng.choice(known)))) <= _NUM_SCENES else "too many"
            )
        if kind == "models":
            return lambda client: "" if [model.name for model in client.models()] == [MODEL] else "other models"
        return lambda client: "" if client.is_ready() else _not_ready()

    def _image(self, client: Client) -> str:
        content = client.super_resolve(self.image, model=MODEL, scale=SCALE).content
        digest = hashlib.sha256(content).hexdigest()
        self.expected = self.expected or digest
        return "" if digest == self.expected else "other bytes"

    def _archive(self, client: Client, key: str) -> str:
        place = self.service.folder / "place"
        made = client.archives.submit(str(place / "in"), str(place / "out" / key), scale=SCALE, idempotency_key=key)
        before = self.keys.setdefault(key, made.id)
        return "" if before == made.id else "a second archive for one key"


def main() -> int:
    """Run and print the tables; 1 where something is amiss."""
    options = _parse()
    with local_service(_SETTINGS, num_cpus=4) as service:
        desk = _prepared(service)
        outcomes, kills = disturbed(desk, options.requests, options.seed, options.only)
        archives = archives_amiss(desk)
        print(describe_machine(torch.device("cpu")))
        print(f"- {options.requests} requests, {_CALLERS} at a time; seed {options.seed}")
        print(f"- killed: {', '.join(f'{kind} {number} times' for kind, number in sorted(kills.items()))}\n")
        print(_table(outcomes))
        print(f"\nArchives: {len(desk.keys)} asked for; amiss: {'; '.join(archives) or 'none'}")
        for one in outcomes:
            if one.amiss:
                print(f"{one.kind}: {one.amiss}, after {one.errors}")
    return 1 if archives or any(one.amiss for one in outcomes) else 0


def _prepared(service: LocalService) -> Desk:
    """Input, an undisturbed answer and an undisturbed archive."""
    for number in range(_NUM_SCENES):
        make_scene(service.folder / "place" / "in" / f"{number}.tif", number, _SCENE_SIDE)
    wait_until_ready(service)
    desk = Desk(service, make_scene(service.folder / "image.tif", 9, _SCENE_SIDE).read_bytes())
    for kind in ("image", "archive"):
        desk.ask(kind, random.Random(0))(service.client)
    ended = service.client.archives.wait(next(iter(desk.keys.values())), timeout_s=_ARCHIVES_S)
    if ended.has_ended and ended.counts.scenes.get("total") != _NUM_SCENES:
        raise RuntimeError(f"the undisturbed archive is not whole: {json.dumps(dict(ended.document))}")
    return desk


def disturbed(desk: Desk, num_requests: int, seed: int, faults: Sequence[str]) -> tuple[list[Asked], Counter[str]]:
    """Ask everything while processes are killed.

    Returns:
        How each request went, and how often what was killed.
    """
    rng = random.Random(seed)
    kinds = [kind for kind, number in _KINDS.items() for _ in range(max(1, round(number * num_requests / 200)))]
    rng.shuffle(kinds)
    killer = Killer(desk.service, moments_of(len(kinds), faults, rng))

    def ask(number: int) -> Asked:
        with killer.during(number):
            return _patiently(desk, kinds[number], random.Random(f"{seed} {number}"))

    with ThreadPoolExecutor(_CALLERS) as callers:
        outcomes = list(callers.map(ask, range(len(kinds))))
    return outcomes, killer.kills


def moments_of(num_requests: int, faults: Sequence[str], rng: random.Random) -> dict[int, tuple[str, float]]:
    """Which fault happens with which request, and how long after it was begun: each once for 100 requests begun."""
    wanted = [fault for fault in faults for _ in range(-(-num_requests // 100))]
    rng.shuffle(wanted)
    numbers = sorted(rng.sample(range(num_requests), min(len(wanted), num_requests)))
    return {number: (fault, rng.uniform(0, _LATEST_S)) for number, fault in zip(numbers, wanted, strict=False)}


@dataclass
class Killer:
    """Kills as it was drawn.

    Attributes:
        service: Whose processes are killed.
        moments: See `moments_of`.
        kills: What was killed, and how often.
    """

    service: LocalService
    moments: Mapping[int, tuple[str, float]]
    kills: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def during(self, number: int) -> Iterator[None]:
        """Let happen what is drawn for a request."""
        fault, after_s = self.moments.get(number, ("", 0.0))
        timer = threading.Timer(after_s, self._kill, (fault,))
        if fault:
            timer.start()
        yield
        if fault:
            timer.join()

    def _kill(self, fault: str) -> None:
        """One of the processes, as soon as there is one: it may have been killed just before."""
        deadline_s = time.monotonic() + _BOUND_S
        while not (processes := self.service.processes(FAULTS[fault])) and time.monotonic() < deadline_s:
            time.sleep(0.2)
        if processes:
            kill(random.choice(processes))
            self.kills[fault] += 1
            print(f"killed: {fault}", file=sys.stderr, flush=True)


def _patiently(desk: Desk, kind: str, rng: random.Random) -> Asked:
    """Ask until there is an answer; only what says that it is temporary is asked again."""
    asked, began_s = Asked(kind), time.monotonic()
    ask, client = desk.ask(kind, rng), desk.client()
    while True:
        try:
            asked.amiss = ask(client)
            break
        except ServiceError as error:
            asked.errors.append(f"{error.status or 'no answer'} {error.kind}".strip())
            pause_s = 0.5 if error.retry_after_s is None else error.retry_after_s
            if not error.is_temporary:
                asked.amiss = f"not temporary: {error.status} {error}"
                break
            if time.monotonic() - began_s + pause_s > _BOUND_S:
                asked.amiss = f"no answer in {_BOUND_S:g} s"
                break
        time.sleep(pause_s)
    client.close()
    asked.seconds = time.monotonic() - began_s
    return asked


def kill(process: psutil.Process) -> None:
    """SIGKILL; nothing where it has ended already."""
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def archives_amiss(desk: Desk) -> list[str]:
    """What is wrong with the archives that were asked for."""
    archives = desk.service.client.archives
    there = [archive.id for archive in archives.all()]
    wrong = [f"{name} is doubled" for name, number in Counter(there).items() if number > 1]
    wrong += [f"{name} is lost" for name in desk.keys.values() if name not in there]
    wrong += [f"{name} was never asked for" for name in there if name not in desk.keys.values()]
    products = {}
    for key, name in desk.keys.items():
        ended = archives.wait(name, timeout_s=_ARCHIVES_S)
        products[name] = {
            item.name: _pixels_digest(desk.service.folder / "place" / "out" / key, item.name)
            for item in archives.items(name)
        }
        if ended.counts.scenes.get("total") != _NUM_SCENES or not ended.state.startswith("completed"):
            wrong.append(f"{name} is {ended.state} with {ended.counts.scenes}")
    calm = next(iter(products.values()))
    return wrong + [f"{name} has other products" for name, found in products.items() if found != calm]


def _pixels_digest(output: Path, name: str) -> str:
    """Of a scene's product below an archive's output; its file also tells when the run was planned."""
    found = sorted(output.rglob(f"{Path(name).stem}.tif"))
    if len(found) != 1:
        return f"{len(found)} files"
    with open_raster(found[0]) as reader:
        raster = reader.read()
    return hashlib.sha256(raster.pixels.tobytes() + raster.valid_mask.tobytes()).hexdigest()


def _not_ready() -> str:
    raise ServiceError("not ready yet", status=503, kind="starting")


def _table(outcomes: Sequence[Asked]) -> str:
    rows = [("request", "number", "answered at once", "after temporary errors", "longest, s", "amiss", "errors")]
    for kind in _KINDS:
        asked = [one for one in outcomes if one.kind == kind]
        later = [one for one in asked if one.errors and not one.amiss]
        errors = Counter(error for one in asked for error in one.errors)
        rows.append(
            (
                kind,
                str(len(asked)),
                str(sum(not one.errors and not one.amiss for one in asked)),
                str(len(later)),
                f"{max((one.seconds for one in asked), default=0):.1f}",
                str(sum(bool(one.amiss) for one in asked)),
                ", ".join(f"{number} x {error}" for error, number in errors.most_common()) or "none",
            )
        )
    return markdown_table(rows)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the order and the moments")
    parser.add_argument(
        "--only", type=lambda text: tuple(text.split(",")), default=tuple(FAULTS), help="faults, by comma"
    )
    options = parser.parse_args()
    if not set(options.only) <= set(FAULTS):
        parser.error(f"faults are {', '.join(FAULTS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
