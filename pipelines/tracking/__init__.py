"""Experiment tracking and the model registry: the one door to MLflow.

Importing this package is cheap; MLflow itself is imported when a store is opened.
"""

from pipelines.tracking.buffer import MetricBuffer
from pipelines.tracking.config import TrackingConfig
from pipelines.tracking.connection import use_tracking
from pipelines.tracking.errors import TrackingError
from pipelines.tracking.location import TrackingLocation, resolve_tracking
from pipelines.tracking.model_source import fetch_model_version, fetch_registered_model
from pipelines.tracking.registry import ModelVersion, find_model_version, register_model, set_alias
from pipelines.tracking.run import Run
from pipelines.tracking.secrecy import mask_secrets
from pipelines.tracking.tracker import Tracker, open_tracker

__all__ = [
    "MetricBuffer",
    "ModelVersion",
    "Run",
    "Tracker",
    "TrackingConfig",
    "TrackingError",
    "TrackingLocation",
    "fetch_model_version",
    "fetch_registered_model",
    "find_model_version",
    "mask_secrets",
    "open_tracker",
    "register_model",
    "resolve_tracking",
    "set_alias",
    "use_tracking",
]
