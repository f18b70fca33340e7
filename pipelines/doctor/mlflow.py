"""The MLflow store, and whether its server fits the MLflow that is installed here."""

import os
from importlib import metadata

from pipelines.doctor.web import ask
from pipelines.storage import redact
from pipelines.tracking.config import TrackingConfig
from pipelines.tracking.location import ENVIRONMENT_VARIABLE, resolve_tracking
from rssr.doctor import DoctorOptions, Finding, failed, ok, skipped, warning

_NAME = "mlflow"
_SERVERS = ("http://", "https://")
_REFUSALS = (401, 403)
_CREDENTIALS = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."


def check_mlflow(options: DoctorOptions) -> Finding:
    """Open the store as jobs do; a SQLite file is not made."""
    from pipelines.tracking.connection import connect

    installed = metadata.version("mlflow")
    given = tracking_uri(options)
    if given is None:
        return skipped(
            _NAME,
            f"{installed} is installed, and no store is set: each job keeps a SQLite file below its output.uri",
            f"Set {ENVIRONMENT_VARIABLE} or give --mlflow URI to look at a store.",
        )
    uri = resolve_tracking(TrackingConfig(tracking_uri=given), ".").tracking_uri
    told = installed
    if uri.startswith(_SERVERS):
        answer = ask(f"{uri}/version", "The MLflow server")
        if answer.status in _REFUSALS:
            return failed(_NAME, f"{redact(uri)} refuses this user ({answer.status})", _CREDENTIALS)
        told = answer.body.strip() if answer.status == 200 else "of unknown version"
    if told.partition(".")[0] != installed.partition(".")[0]:
        return warning(
            _NAME,
            f"{redact(uri)} runs MLflow {told[:40]}, installed here is {installed}",
            "Install the same major version on both sides, and check that this is the address of an MLflow server.",
        )
    connect(uri, create=False)
    return ok(_NAME, f"{redact(uri)} answers; MLflow {told}, {installed} here")


def tracking_uri(options: DoctorOptions) -> str | None:
    """The store that is asked for, else the environment's."""
    return options.tracking_uri or os.environ.get(ENVIRONMENT_VARIABLE) or None
