"""Synthesis of LR training images from HR images: the second-order chain of Real-ESRGAN, and plain bicubic.

`degrade` is what training uses. The plain PyTorch form that it is tested against lies in `reference` and is not
imported here, so that data workers do not load PyTorch.
"""

from rssr.degradation.config import DegradationConfig, degradation_preset, preset_names
from rssr.degradation.describe import describe_draws
from rssr.degradation.draws import DegradationDraws, draw_degradation, lr_size
from rssr.degradation.pipeline import apply_draws, configure_worker_threads, degrade, downsample_bicubic
from rssr.degradation.sensor import SensorDraws, describe_sensor, draw_sensor, see_through_sensor

__all__ = [
    "DegradationConfig",
    "DegradationDraws",
    "SensorDraws",
    "apply_draws",
    "configure_worker_threads",
    "degradation_preset",
    "degrade",
    "describe_draws",
    "describe_sensor",
    "downsample_bicubic",
    "draw_degradation",
    "draw_sensor",
    "lr_size",
    "preset_names",
    "see_through_sensor",
]
