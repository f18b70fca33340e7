"""Metrics that need networks or statistics learnt from images; pyiqa computes them.

All of them see whole pictures: papers leave the border out of PSNR and SSIM only. Pictures are RGB from 0 to 1 where a
network meets them, and are resized only where the metric's authors do so.
"""

from dataclasses import replace

from rssr.metrics.spec import MetricSpec
from rssr.metrics.weight_files import (
    ALEXNET,
    CLIP_RN50,
    DISTS_WEIGHTS,
    INCEPTION,
    LPIPS_LINEAR,
    MANIQA_KONIQ,
    MUSIQ_KONIQ,
    NIQE_PRISTINE,
    VGG16,
    WeightFile,
)

_INFINITE = float("inf")
_PACKAGE = "pyiqa (PolyForm-Noncommercial-1.0.0)"


def _learned(spec: MetricSpec, paper: str, *files: WeightFile) -> MetricSpec:
    """A spec completed by what all of these have in common."""
    origins = (f"{file.name}: {file.origin} ({file.licence})" for file in files)
    return replace(
        spec,
        is_cropped=False,
        weights=tuple(file.name for file in files),
        source="; ".join([paper, *origins]),
        package=_PACKAGE,
    )


LEARNED_SPECS = (
    # The papers do not name LPIPS's network. AlexNet is what its authors recommend for measuring (VGG-16 for training)
    # and what pyiqa takes where nothing is said, so it is the likely one in their tables.
    _learned(
        MetricSpec("lpips", "LPIPS", "lower", (0.0, _INFINITE), "rgb", smallest_side=32),
        "Zhang et al. 2018, The Unreasonable Effectiveness of Deep Features; version 0.1, AlexNet",
        ALEXNET,
        LPIPS_LINEAR,
    ),
    _learned(
        MetricSpec("dists", "DISTS", "lower", (0.0, 1.0), "rgb", smallest_side=16),
        "Ding et al. 2020, Image Quality Assessment: Unifying Structure and Texture Similarity; no resizing",
        VGG16,
        DISTS_WEIGHTS,
    ),
    _learned(
        MetricSpec("maniqa", "MANIQA", "higher", (0.0, 1.0), "rgb", needs="nothing", smallest_side=32),
        "Yang et al. 2022, MANIQA; trained on KonIQ-10k, mean of 20 evenly placed crops of 224 pixels",
        MANIQA_KONIQ,
    ),
    _learned(
        MetricSpec("musiq", "MUSIQ", "higher", (0.0, 100.0), "rgb", needs="nothing", smallest_side=32),
        "Ke et al. 2021, MUSIQ: Multi-scale Image Quality Transformer; trained on KonIQ-10k",
        MUSIQ_KONIQ,
    ),
    _learned(  # statistics of blocks of 96 pixels; one block alone has no covariance
        MetricSpec("niqe", "NIQE", "lower", (0.0, _INFINITE), "y", needs="nothing", smallest_side=192),
        "Mittal et al. 2013, Making a Completely Blind Image Quality Analyzer",
        NIQE_PRISTINE,
    ),
    _learned(
        MetricSpec("clipiqa", "CLIP-IQA", "higher", (0.0, 1.0), "rgb", needs="nothing", smallest_side=32),
        "Wang et al. 2023, Exploring CLIP for Assessing the Look and Feel of Images; RN50, five pairs of prompts",
        CLIP_RN50,
    ),
    _learned(
        MetricSpec("fid", "FID", "lower", (0.0, _INFINITE), "rgb", needs="set"),
        "Heusel et al. 2017, Two Time-Scale Update Rule; resized as by Parmar et al. 2022 (clean-fid)",
        INCEPTION,
    ),
    _learned(  # an unbiased estimate of what is at least 0 may lie below it
        MetricSpec("kid", "KID", "lower", (-_INFINITE, _INFINITE), "rgb", needs="set"),
        "Binkowski et al. 2018, Demystifying MMD GANs; resized as by Parmar et al. 2022 (clean-fid)",
        INCEPTION,
    ),
)
"""Metrics of pyiqa."""
