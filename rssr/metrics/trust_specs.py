"""How to read the measures of trust: what SR keeps of LR, and whether what it adds is true.

`rssr.metrics.consistency.consistency` and `rssr.metrics.correctness.correctness` compute them; their `metrics()` have
these names. Both need more than two pictures, so that no spec has a `measure`. None is cropped: papers leave out a
border because networks err there, and whether a picture can be trusted is a question of all of it.
"""

from rssr.metrics.spec import Direction, MetricSpec

_PROTOCOL = "in the manner of OpenSR-test (Aybar et al. 2024, doi:10.1109/LGRS.2024.3401394)"
_INFINITE = float("inf")
_SHARES: tuple[tuple[str, Direction], ...] = (
    ("improvement", "higher"),
    ("omission", "lower"),
    ("hallucination", "lower"),
)

LR_ERROR = MetricSpec(
    "lr_error",
    "Error against LR",
    "lower",
    (0.0, _INFINITE),
    "bands",
    "grey levels",
    needs="lr",
    is_cropped=False,
    source=f"mean absolute error of SR taken back to the LR grid, {_PROTOCOL}",
)
"""In the unit of the input where that is no picture."""

LR_SHIFT_PX = MetricSpec(
    "lr_shift_px",
    "Shift against LR",
    "lower",
    (0.0, _INFINITE),
    "bands",
    "LR px",
    needs="lr",
    is_cropped=False,
    source=f"phase correlation with a fit of the phase's slope (Stone et al. 2001), {_PROTOCOL}",
)

SPECTRAL_ANGLE_DEG = MetricSpec(
    "spectral_angle_deg",
    "Spectral angle to LR",
    "lower",
    (0.0, 180.0),
    "bands",
    "°",
    needs="lr",
    is_cropped=False,
    source=f"spectral angle mapper (Kruse et al. 1993), {_PROTOCOL}",
)

IMPROVEMENT, OMISSION, HALLUCINATION = (
    MetricSpec(
        name,
        name.capitalize(),
        direction,
        (0.0, 1.0),
        "bands",
        is_cropped=False,
        source=f"share of what HR has beyond LR, {_PROTOCOL}",
    )
    for name, direction in _SHARES
)

LR_SPECS = (LR_ERROR, LR_SHIFT_PX, SPECTRAL_ANGLE_DEG)
"""Without HR."""
HR_SPECS = (IMPROVEMENT, OMISSION, HALLUCINATION)
"""Against HR; they need LR as well."""
TRUST_SPECS = LR_SPECS + HR_SPECS
