"""`rssr doctor`: what will not work here, found out in seconds and told with what to do about it."""

from rssr.doctor.examine import CHECKS_GROUP, Check, examine, known_checks
from rssr.doctor.finding import DoctorOptions, Finding, State, exit_code, failed, ok, skipped, warning

__all__ = [
    "CHECKS_GROUP",
    "Check",
    "DoctorOptions",
    "Finding",
    "State",
    "examine",
    "exit_code",
    "failed",
    "known_checks",
    "ok",
    "skipped",
    "warning",
]
