"""Measures of how near a super-resolved picture comes to the truth."""

from rssr.metrics.colour import luma
from rssr.metrics.fidelity import psnr_rgb, psnr_y, ssim_rgb, ssim_y
from rssr.metrics.spec import MetricSpec, PairMetric, metric_spec
from rssr.metrics.table import METRICS, describe_metrics
from rssr.metrics.weight_files import find_missing, metric_weights_folder

__all__ = [
    "METRICS",
    "MetricSpec",
    "PairMetric",
    "describe_metrics",
    "find_missing",
    "luma",
    "metric_spec",
    "metric_weights_folder",
    "psnr_rgb",
    "psnr_y",
    "ssim_rgb",
    "ssim_y",
]
