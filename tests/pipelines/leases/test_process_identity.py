import os
from dataclasses import replace
from pathlib import Path

from pipelines.leases.process_identity import ProcessIdentity
from tests.processes import start_python, wait_until

WAITING = """
import sys
print("here", flush=True)
sys.stdin.read()
"""


def test_this_process_is_here() -> None:
    own = ProcessIdentity.of_this_process()
    assert own.pid == os.getpid()
    assert own.is_here()
    assert not own.is_gone()
    assert str(os.getpid()) in str(own)


def test_a_killed_process_is_gone_before_anybody_takes_note() -> None:
    with start_python(WAITING) as process:
        other = replace(ProcessIdentity.of_this_process(), pid=process.pid, started=started_at(process.pid))
        assert other.is_here()
        process.kill()  # it stays in the table of processes until its parent asks
        wait_until(other.is_gone)
        assert not other.is_here()
    assert other.is_gone()


def test_a_number_that_was_given_out_again_is_another_process() -> None:
    own = ProcessIdentity.of_this_process()
    assert replace(own, started=str(int(own.started) - 1)).is_gone()


def test_nothing_is_known_of_processes_elsewhere() -> None:
    own = ProcessIdentity.of_this_process()
    for other in (replace(own, place="elsewhere", pid=1), replace(own, place=""), replace(own, started="")):
        assert not other.is_gone()
        assert not other.is_here()


def started_at(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
