"""The one door to pyiqa: learned metrics from local files, without a network connection.

pyiqa is under a non-commercial licence, so it is an extra (`rssr[eval]`), and it is imported only when a metric is
loaded.
"""

from rssr.metrics.perceptual.fetching import fetch_weights
from rssr.metrics.perceptual.loading import load_network
from rssr.metrics.perceptual.measuring import PerceptualMetric, load_metric
from rssr.metrics.weight_files import find_missing

__all__ = ["PerceptualMetric", "fetch_weights", "find_missing", "load_metric", "load_network"]
