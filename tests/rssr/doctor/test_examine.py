import sys
import threading
import time
from pathlib import Path

import pytest

from rssr.doctor import CHECKS_GROUP, Check, DoctorOptions, Finding, State, examine, exit_code, failed, known_checks, ok
from rssr.doctor.finding import skipped, warning
from rssr.errors import ConfigError, ExitCode

OPTIONS = DoctorOptions()


def breaks(options: DoctorOptions) -> Finding:
    raise ZeroDivisionError("division by zero\nin two lines")


def refuses(options: DoctorOptions) -> Finding:
    raise ConfigError("There is no such thing.", "Make one.")


def leaves(options: DoctorOptions) -> Finding:
    raise SystemExit(3)


def lacks(options: DoctorOptions) -> Finding:
    import no_such_module_anywhere  # type: ignore[import-not-found]

    return ok("lacks", str(no_such_module_anywhere))


def works(options: DoctorOptions) -> Finding:
    return ok("works", "all of it")


def found(*checks: Check, patience_s: float = 60.0) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(OPTIONS, checks, patience_s)}


def test_what_a_check_raises_is_its_own_line_and_the_others_are_told_as_well() -> None:
    told = found(Check("breaks", breaks), Check("refuses", refuses), Check("leaves", leaves), Check("works", works))
    assert told["works"] == ok("works", "all of it")
    assert told["refuses"] == failed("refuses", "There is no such thing", "Make one.")
    for name, reason in (("breaks", "ZeroDivisionError: division by zero in two lines"), ("leaves", "SystemExit: 3")):
        assert told[name].state is State.FAILED
        assert told[name].status is ExitCode.OUR_FAULT
        assert reason in told[name].found


def test_a_library_that_cannot_be_imported_is_to_be_installed() -> None:
    finding = found(Check("lacks", lacks))["lacks"]
    assert (finding.state, finding.status) == (State.FAILED, ExitCode.BAD_INPUT)
    assert "no_such_module_anywhere" in finding.found
    assert "pip install" in finding.remedy


def test_a_check_that_hangs_is_left_behind() -> None:
    released = threading.Event()

    def hangs(options: DoctorOptions) -> Finding:
        released.wait(60)
        return ok("hangs", "at last")

    started_s = time.monotonic()
    told = found(Check("hangs", hangs), Check("works", works), patience_s=0.2)
    assert time.monotonic() - started_s < 30
    released.set()
    assert told["hangs"].state is State.FAILED
    assert "no answer within 0.2 s" in told["hangs"].found
    assert told["works"].state is State.OK


def test_failures_decide_the_exit_status_and_nothing_else_does() -> None:
    fine = [ok("a", ""), skipped("b", ""), warning("c", "", "")]
    assert exit_code(fine) is ExitCode.DONE
    assert exit_code([*fine, failed("d", "", "")]) is ExitCode.BAD_INPUT
    assert exit_code([failed("d", "", ""), failed("e", "", "", ExitCode.OUR_FAULT)]) is ExitCode.OUR_FAULT
    assert exit_code([]) is ExitCode.DONE


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that registers two checks, of which one cannot be loaded."""
    facts = tmp_path / "other_checks-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: other-checks\nVersion: 1.0\n")
    lines = [f"[{CHECKS_GROUP}]", "tea = other_checks:check_tea", "absent = no_such_module_anywhere:check"]
    (facts / "entry_points.txt").write_text("\n".join(lines))
    (tmp_path / "other_checks.py").write_text(
        "from rssr.doctor import ok\ndef check_tea(options):\n    return ok('tea', 'hot, for ' + options.output_uri)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("plugin")
def test_other_packages_checks_are_found_by_their_registration() -> None:
    registered = [check for check in known_checks() if check.name in ("tea", "absent")]
    assert [check.name for check in registered] == ["absent", "tea"]
    absent, tea = examine(DoctorOptions(output_uri="s3://cups"), registered)
    assert tea == ok("tea", "hot, for s3://cups")
    assert absent.state is State.FAILED
    assert "no_such_module_anywhere" in absent.found
    sys.modules.pop("other_checks")


def test_names_are_unique_and_the_golden_scene_can_be_left_out() -> None:
    names = [check.name for check in known_checks()]
    assert len(names) == len(set(names))
    assert "golden" in names
    assert "golden" not in [check.name for check in known_checks(golden=False)]
