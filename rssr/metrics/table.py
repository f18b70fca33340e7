"""Every metric there is, by name."""

from collections.abc import Mapping
from types import MappingProxyType

from rssr.metrics.fidelity import SSIM_WINDOW, psnr_rgb, psnr_y, ssim_rgb, ssim_y
from rssr.metrics.learned_specs import LEARNED_SPECS
from rssr.metrics.spec import MetricSpec
from rssr.metrics.trust_specs import TRUST_SPECS

_INFINITE = float("inf")
_WANG = "Wang et al. 2004, Image Quality Assessment: From Error Visibility to Structural Similarity"

FIDELITY_SPECS = (
    MetricSpec("psnr_y", "PSNR (Y)", "higher", (0.0, _INFINITE), "y", "dB", psnr_y),
    MetricSpec("ssim_y", "SSIM (Y)", "higher", (-1.0, 1.0), "y", "", ssim_y, source=_WANG, smallest_side=SSIM_WINDOW),
    MetricSpec("psnr_rgb", "PSNR (RGB)", "higher", (0.0, _INFINITE), "rgb", "dB", psnr_rgb),
    MetricSpec(
        "ssim_rgb", "SSIM (RGB)", "higher", (-1.0, 1.0), "rgb", "", ssim_rgb, source=_WANG, smallest_side=SSIM_WINDOW
    ),
)
"""The metrics that need nothing but two pictures."""

METRICS: Mapping[str, MetricSpec] = MappingProxyType(
    {spec.name: spec for specs in (FIDELITY_SPECS, LEARNED_SPECS, TRUST_SPECS) for spec in specs}
)
"""All metrics, in the order in which they are listed."""

_NEEDS = {"hr": "HR", "lr": "LR", "nothing": "no other image", "set": "a set of HR images"}


def describe_metrics() -> str:
    """A line a metric for `--help`: name, title, direction, range, colours, border, and what it needs."""
    return "\n".join(_describe(spec) for spec in METRICS.values())


def _describe(spec: MetricSpec) -> str:
    low, high = (f"{end:g}" for end in spec.value_range)
    facts = [
        f"{spec.direction} is better",
        f"{low} to {high}{' ' * bool(spec.unit)}{spec.unit}",
        f"on {spec.colour_space}{' without the border' * spec.is_cropped}",
        f"needs {_NEEDS[spec.needs]}",
        *([f"package {spec.package}"] if spec.package else []),
        *([f"weights {', '.join(spec.weights)}"] if spec.weights else []),
    ]
    return f"{spec.name:<20} {spec.title}: {'; '.join(facts)}"
