"""The published degradation settings, by name, as plain values for `DegradationConfig`.

Sources: `real-esrgan`: Wang et al., ICCVW 2021 (arXiv:2107.10833), section 4.1 and its training configuration;
`slimdiffsr`: SlimDiffSR's released training configuration, which narrows the same chain; `bicubic`: the
antialiased bicubic downsampling on which LDCSR and LCMSR train and which all three papers use for tests.
"""

from typing import Any

_KERNEL_PROBABILITIES = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)  # the same in both publications and rounds
_KERNEL_SIZES = (7, 21)

_REAL_ESRGAN: dict[str, Any] = {
    "kind": "real-esrgan",
    "first": {
        "blur": {
            "probability": 1.0,
            "kernel_size_range": _KERNEL_SIZES,
            "kernel_probabilities": _KERNEL_PROBABILITIES,
            "sinc_probability": 0.1,
            "sigma_range": (0.2, 3.0),
            "generalized_beta_range": (0.5, 4.0),
            "plateau_beta_range": (1.0, 2.0),
        },
        "resize_probabilities": (0.2, 0.7, 0.1),
        "resize_range": (0.15, 1.5),
        "gaussian_probability": 0.5,
        "gaussian_sigma_range": (1.0, 30.0),
        "poisson_scale_range": (0.05, 3.0),
        "gray_probability": 0.4,
        "jpeg_quality_range": (30.0, 95.0),
    },
    "second": {
        "blur": {
            "probability": 0.8,
            "kernel_size_range": _KERNEL_SIZES,
            "kernel_probabilities": _KERNEL_PROBABILITIES,
            "sinc_probability": 0.1,
            "sigma_range": (0.2, 1.5),
            "generalized_beta_range": (0.5, 4.0),
            "plateau_beta_range": (1.0, 2.0),
        },
        "resize_probabilities": (0.3, 0.4, 0.3),
        "resize_range": (0.3, 1.2),
        "gaussian_probability": 0.5,
        "gaussian_sigma_range": (1.0, 25.0),
        "poisson_scale_range": (0.05, 2.5),
        "gray_probability": 0.4,
        "jpeg_quality_range": (30.0, 95.0),
    },
    "final_sinc_probability": 0.8,
    "final_sinc_size_range": _KERNEL_SIZES,
    "jpeg_first_probability": 0.5,
}

_SLIMDIFFSR: dict[str, Any] = {
    "kind": "slimdiffsr",
    "first": {
        "blur": {
            "probability": 1.0,
            "kernel_size_range": _KERNEL_SIZES,
            "kernel_probabilities": _KERNEL_PROBABILITIES,
            "sinc_probability": 0.1,
            "sigma_range": (0.2, 1.5),
            "generalized_beta_range": (0.5, 2.0),
            "plateau_beta_range": (1.0, 1.5),
        },
        "resize_probabilities": (0.2, 0.7, 0.1),
        "resize_range": (0.3, 1.5),
        "gaussian_probability": 0.5,
        "gaussian_sigma_range": (1.0, 15.0),
        "poisson_scale_range": (0.05, 2.0),
        "gray_probability": 0.4,
        "jpeg_quality_range": (60.0, 95.0),
    },
    "second": {
        "blur": {
            "probability": 0.5,
            "kernel_size_range": _KERNEL_SIZES,
            "kernel_probabilities": _KERNEL_PROBABILITIES,
            "sinc_probability": 0.1,
            "sigma_range": (0.2, 1.0),
            "generalized_beta_range": (0.5, 2.0),
            "plateau_beta_range": (1.0, 1.5),
        },
        "resize_probabilities": (0.3, 0.4, 0.3),
        "resize_range": (0.6, 1.2),
        "gaussian_probability": 0.5,
        "gaussian_sigma_range": (1.0, 12.0),
        "poisson_scale_range": (0.05, 1.0),
        "gray_probability": 0.4,
        "jpeg_quality_range": (60.0, 100.0),
    },
    "final_sinc_probability": 0.8,
    "final_sinc_size_range": _KERNEL_SIZES,
    "jpeg_first_probability": 0.5,
}

_BICUBIC: dict[str, Any] = {
    "kind": "bicubic",
    "first": None,
    "second": None,
    "final_sinc_probability": 0.0,
    "final_sinc_size_range": _KERNEL_SIZES,
    "jpeg_first_probability": 0.0,
}

PRESETS: dict[str, dict[str, Any]] = {values["kind"]: values for values in (_SLIMDIFFSR, _REAL_ESRGAN, _BICUBIC)}

_SENTINEL2: dict[str, Any] = {
    **_BICUBIC,
    "kind": "sentinel2",
    # MSI's 10 m bands: contrast at Nyquist of 0.15 to 0.30 by requirement, better in flight; signal to noise of 100 to
    # 170 at reference radiances, which correspond to reflectances of about 0.15.
    "sensor": {
        "mtf_at_nyquist_range": (0.15, 0.35),
        "dark_deviation_range": (0.0003, 0.0015),
        "signal_variance_range": (2e-6, 2e-5),
    },
}

REFLECTANCE_PRESETS: dict[str, dict[str, Any]] = {"sentinel2": _SENTINEL2}
"""Kinds for reflectance, float32 [H, W, C]."""
