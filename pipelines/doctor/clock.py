"""This machine's clock against those of the servers that it talks to."""

from datetime import timedelta

from pipelines.doctor.mlflow import tracking_uri
from pipelines.doctor.web import ask
from pipelines.storage import StorageSettings, is_local
from rssr.doctor import DoctorOptions, Finding, failed, ok, skipped, warning
from rssr.errors import UserError

_NAME = "clock"
WARNING_S = 60.0
REFUSAL_S = 15 * 60.0  # S3 refuses signatures that are older, or lie as far in the future
_AWS = "https://s3.amazonaws.com"
_REMEDY = "Set the clock, e.g. `timedatectl set-ntp true`: leases of jobs and signatures of requests go by it."


def check_clock(options: DoctorOptions) -> Finding:
    """The object store's clock, else MLflow's."""
    server = _server(options)
    if server is None:
        return skipped(_NAME, "no server is set to compare with")
    try:
        error_s = ask(server).clock_error_s
    except UserError:
        return skipped(_NAME, f"{server} does not answer, so there is nothing to compare with")
    if error_s is None:
        return skipped(_NAME, f"{server} does not tell the time")
    return judge(_NAME, error_s, f"{server}'s")


def judge(name: str, error_s: float, whose: str) -> Finding:
    """What a wrong clock is worth.

    Args:
        name: Of the finding.
        error_s: By how much ours is ahead, seconds.
        whose: The other one, e.g. `the server's`.
    """
    if abs(error_s) <= WARNING_S:
        return ok(name, f"within {max(1, round(abs(error_s)))} s of {whose}")
    way = "ahead of" if error_s > 0 else "behind"
    found = f"{timedelta(seconds=round(abs(error_s)))} {way} {whose}"
    return warning(name, found, _REMEDY) if abs(error_s) < REFUSAL_S else failed(name, found, _REMEDY)


def _server(options: DoctorOptions) -> str | None:
    endpoint = StorageSettings.from_environment().endpoint_url
    if endpoint is not None:
        return endpoint
    tracking = tracking_uri(options)
    if tracking is not None and tracking.startswith(("http://", "https://")):
        return tracking.rstrip("/") + "/health"
    writes_to_s3 = options.output_uri is not None and not is_local(options.output_uri)
    return _AWS if writes_to_s3 else None
