"""Measures of how near a super-resolved picture comes to the truth."""

from rssr.metrics.colour import luma
from rssr.metrics.fidelity import psnr_rgb, psnr_y, ssim_rgb, ssim_y
from rssr.metrics.spec import METRICS, MetricSpec, PairMetric, metric_spec

__all__ = ["METRICS", "MetricSpec", "PairMetric", "luma", "metric_spec", "psnr_rgb", "psnr_y", "ssim_rgb", "ssim_y"]
