"""One holder at a time, one that knows when it is none, and a successor that does not wait for the dead."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.leases import flags as flag_module
from pipelines.leases.flags import Flag, FlagFolder
from pipelines.leases.lease import Lease, LeaseHeld, LeaseLost
from pipelines.leases.process_identity import ProcessIdentity
from pipelines.storage import Store
from pipelines.storage.local import LocalStore
from rssr.errors import StorageError
from tests.pipelines.bulk.outputs import KINDS, OPEN_STORE, Output, make_output
from tests.processes import start_python, wait_until

KEY = "_run/driver"
ELSEWHERE = ProcessIdentity("far-away", 4242, "another machine", "77")


@pytest.fixture(params=KINDS)
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Output]:
    yield make_output(request, tmp_path)


def flags(store: Store) -> list[str]:
    return [entry.key for entry in store.list(KEY)]


def put_flag(store: Store, flag: Flag) -> None:
    store.write_bytes(f"{KEY}/{flag.nonce}", flag.to_json())


def test_a_lease_is_held_until_it_is_released(output: Output) -> None:
    lease = Lease(output.store, KEY)
    with pytest.raises(LeaseLost):
        lease.require_held()
    with lease:
        lease.require_held()
        lease.witness().require_held()
        assert len(flags(output.store)) == 1
    with pytest.raises(LeaseLost):
        lease.require_held()
    with pytest.raises(LeaseLost):
        lease.witness().require_held()
    assert flags(output.store) == []
    with Lease(output.store, KEY) as next_one:
        next_one.require_held()


def test_a_second_holder_is_refused_with_the_name_of_the_first(output: Output) -> None:
    own = ProcessIdentity.of_this_process()
    with Lease(output.store, KEY, "jobs/bulk.py") as first:
        with pytest.raises(LeaseHeld, match=rf"jobs/bulk\.py, process {own.pid} on {own.host}, since 20") as caught:
            Lease(output.store, KEY).acquire(waits_s=0)
        assert output.store.uri in str(caught.value)
        first.require_held()
        assert len(flags(output.store)) == 1


@pytest.mark.parametrize("num", [2, 5])
def test_of_several_at_the_same_moment_one_holds_it(output: Output, num: int) -> None:
    inside, most, lock = 0, 0, threading.Lock()

    def work(_: int) -> None:
        nonlocal inside, most
        lease = Lease(output.store, KEY)
        lease.acquire(waits_s=60)
        try:
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.02)
            with lock:
                inside -= 1
        finally:
            lease.release()

    with ThreadPoolExecutor(num) as pool:
        list(pool.map(work, range(num)))
    assert most == 1
    assert flags(output.store) == []


HOLDING = f"""{OPEN_STORE}
from pipelines.leases.lease import Lease
with Lease(store, "{KEY}", "jobs/bulk.py"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_killed_holder_is_succeeded_at_once_on_the_same_machine(output: Output) -> None:
    with start_python(HOLDING, *output.address) as holder:
        with pytest.raises(LeaseHeld, match=f"process {holder.pid} on"):
            Lease(output.store, KEY, lasts_s=3600).acquire(waits_s=0)
        holder.kill()
        holder.wait()
        with Lease(output.store, KEY, lasts_s=3600) as successor:  # an hour is not waited for
            successor.require_held()
            assert len(flags(output.store)) == 1, "the dead one's flag is down"


def test_a_dead_holder_elsewhere_is_succeeded_when_it_has_not_renewed(output: Output) -> None:
    put_flag(output.store, Flag("0" * 16, "jobs/bulk.py", ELSEWHERE, "2026-11-29T04:25:00Z"))
    began = flag_module.now_s()
    with Lease(output.store, KEY, lasts_s=0.6) as lease:
        assert flag_module.now_s() - began >= 0.6, "it might have been alive"
        wait_until(lambda: not lost(lease))


def test_a_live_holder_elsewhere_is_waited_for_and_then_named(output: Output) -> None:
    flag, ended = Flag("0" * 16, "jobs/bulk.py", ELSEWHERE, "2026-11-29T04:25:00Z"), threading.Event()
    put_flag(output.store, flag)

    def renew() -> None:
        beat = 1
        while not ended.wait(0.1):
            put_flag(output.store, replace(flag, beat=beat))
            beat += 1

    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(renew)
        try:
            with pytest.raises(LeaseHeld, match="process 4242 on far-away, since 2026-11-29"):
                Lease(output.store, KEY, lasts_s=20).acquire(waits_s=0)
        finally:
            ended.set()
            renewing.result()
    assert flags(output.store) == [f"{KEY}/{flag.nonce}"]


def test_what_is_no_flag_stands_in_the_way_for_a_while(output: Output) -> None:
    output.store.write_bytes(f"{KEY}/strange", b"{")
    with Lease(output.store, KEY, lasts_s=0.4) as lease:
        wait_until(lambda: not lost(lease))


def test_a_lease_is_renewed_in_the_background(output: Output) -> None:
    with Lease(output.store, KEY, lasts_s=1.0):
        seen = set()

        def has_changed() -> bool:
            seen.add(output.store.read_bytes(flags(output.store)[0]))
            return len(seen) >= 4

        wait_until(has_changed)


class Unreachable(LocalStore):
    """A folder that cannot be written to at times."""

    down = False

    def write_bytes(self, key: str, data: bytes) -> None:
        if Unreachable.down:
            raise StorageError("The store is down.")
        super().write_bytes(key, data)


@pytest.fixture
def unreachable(tmp_path: Path) -> Iterator[Unreachable]:
    yield Unreachable(tmp_path)
    Unreachable.down = False


def lost(lease: Lease) -> bool:
    try:
        lease.require_held()
    except LeaseLost:
        return True
    return False


def test_a_holder_that_cannot_renew_knows_that_it_holds_nothing(unreachable: Unreachable) -> None:
    with Lease(unreachable, KEY, lasts_s=0.4) as lease:
        Unreachable.down = True
        wait_until(lambda: lost(lease))
        with pytest.raises(LeaseLost, match=r"could not be renewed for 0\.4 s.*Run the same command again"):
            lease.require_held()


def test_a_holder_goes_on_after_a_while_if_nobody_took_over(unreachable: Unreachable) -> None:
    with Lease(unreachable, KEY, lasts_s=0.4) as lease:
        Unreachable.down = True
        wait_until(lambda: lost(lease))
        Unreachable.down = False
        wait_until(lambda: not lost(lease))


def test_a_holder_that_was_succeeded_meanwhile_has_lost_for_good(unreachable: Unreachable) -> None:
    with Lease(unreachable, KEY, lasts_s=0.4) as lease:
        Unreachable.down = True
        wait_until(lambda: lost(lease))
        with Lease(LocalStore(Path(unreachable.uri)), KEY, lasts_s=0.4) as successor:
            with pytest.raises(LeaseLost, match="another one has taken over"):
                lease.witness().require_held()
            Unreachable.down = False
            time.sleep(0.5)
            wait_until(lambda: len(flags(unreachable)) == 1 and not lost(successor))
            assert lost(lease)
        time.sleep(0.3)
        assert lost(lease), "also when the successor has ended"


def test_a_flag_that_was_taken_down_unseen_does_not_count(tmp_path: Path) -> None:
    """Who was stopped between raising its flag and looking does not stand alone where it does not stand at all."""
    store = LocalStore(tmp_path)
    flag = Flag("1" * 16, "stopped", ProcessIdentity.of_this_process(), "now")
    folder = FlagFolder(store, KEY, flag, lasts_s=30)
    folder.raise_flag()
    store.delete(f"{KEY}/{flag.nonce}")
    assert not folder.is_alone()
    assert folder.enter(), "another attempt is one"
