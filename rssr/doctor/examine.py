"""All checks, one after another: each bounded in time, none able to break another."""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points

from rssr.doctor.finding import DoctorOptions, Finding, failed
from rssr.errors import ExitCode, RssrError

CHECKS_GROUP = "rssr.doctor_checks"
"""Entry points named by check; each takes `DoctorOptions` and returns a `Finding` of that name."""

# A last resort, for what cannot be told how long to wait: a network drive that is gone, a library's loading. Checks of
# servers know themselves when to give up, which is after seconds.
_PATIENCE_S = 120.0

Look = Callable[[DoctorOptions], Finding]


@dataclass(frozen=True)
class Check:
    """One thing to look at.

    Attributes:
        name: As in `Finding`.
        look: Looks at it. Whatever it raises becomes its finding.
    """

    name: str
    look: Look


def known_checks(golden: bool = True) -> list[Check]:
    """This package's own checks and those that are registered, in the order in which they are told.

    Args:
        golden: Whether a whole small scene is computed as well.
    """
    from rssr.doctor.disk import check_output_disk, check_temporary_disk
    from rssr.doctor.geodata import check_gdal, check_projections
    from rssr.doctor.golden import check_golden
    from rssr.doctor.libraries import check_cuda, check_packages, check_python, check_torch
    from rssr.doctor.pretrained import check_base_weights, check_metric_weights

    registered = sorted(entry_points(group=CHECKS_GROUP), key=lambda entry: entry.name)
    return [
        Check("python", check_python),
        Check("packages", check_packages),
        Check("torch", check_torch),
        Check("cuda", check_cuda),
        Check("gdal", check_gdal),
        Check("projections", check_projections),
        Check("disk.output", check_output_disk),
        Check("disk.temporary", check_temporary_disk),
        *(Check(entry.name, partial(_look_registered, entry)) for entry in registered),
        Check("weights.base", check_base_weights),
        Check("weights.metrics", check_metric_weights),
        *([Check("golden", check_golden)] if golden else []),
    ]


def examine(
    options: DoctorOptions, checks: Iterable[Check] | None = None, patience_s: float = _PATIENCE_S
) -> Iterator[Finding]:
    """Look at everything, one thing after another.

    Args:
        options: What to look at.
        checks: None for all that there are.
        patience_s: How long a check may take that does not know when to give up.
    """
    for check in known_checks() if checks is None else checks:
        yield _examine_one(check, options, patience_s)


def _look_registered(entry: EntryPoint, options: DoctorOptions) -> Finding:
    look: Look = entry.load()
    return look(options)


def _examine_one(check: Check, options: DoctorOptions, patience_s: float) -> Finding:
    """In a thread of its own, which is left behind where it does not end: nothing can stop one."""
    answers: list[Finding] = []
    thread = threading.Thread(
        target=lambda: answers.append(_look(check, options)), name=f"doctor-{check.name}", daemon=True
    )
    thread.start()
    thread.join(patience_s)
    if answers:
        return answers[0]
    return failed(
        check.name,
        f"no answer within {patience_s:g} s",
        "Look for a network drive or server that hangs, then run it again.",
    )


def _look(check: Check, options: DoctorOptions) -> Finding:
    try:
        return check.look(options)
    except RssrError as error:
        return failed(check.name, _one_line(error.problem).rstrip("."), _one_line(error.remedy), error.exit_code)
    except ImportError as error:
        found = f"it cannot be imported: {_one_line(str(error))[:300]}"
        return failed(check.name, found, "Run `pip install --constraint constraints.txt .` in rssr's folder.")
    except BaseException as error:  # also SystemExit: a library's, which would leave no finding
        return failed(
            check.name,
            f"the check itself broke: {type(error).__name__}: {_one_line(str(error))[:300]}",
            "Reinstall what it names, or report it with the output of `rssr doctor --json`.",
            ExitCode.OUR_FAULT,
        )


def _one_line(text: str) -> str:
    return " ".join(text.split())
