from pathlib import Path
from typing import Any

import pytest

from pipelines.evaluation.config import EvaluateConfig
from pipelines.evaluation.metrics import check_metrics, choose_metrics
from rssr.errors import ConfigError
from rssr.metrics.trust_specs import TRUST_SPECS
from rssr.weights.official import file_sha256

TRUST = [spec.name for spec in TRUST_SPECS]


def config_of(folder: Path, *names: str, **metrics: Any) -> EvaluateConfig:
    values = {"names": names, "weights": str(folder), "trust": False, **metrics}
    return EvaluateConfig.model_validate({"degradation": "bicubic", "metrics": values})


def test_measures_of_trust_come_after_what_was_asked_for(tmp_path: Path) -> None:
    specs = check_metrics(config_of(tmp_path, "ssim_y", "omission", "psnr_y", trust=True))
    assert [spec.name for spec in specs] == ["ssim_y", "omission", "psnr_y", *(n for n in TRUST if n != "omission")]


def test_fid_has_kid_beside_it(tmp_path: Path) -> None:
    assert [spec.name for spec in check_metrics(config_of(tmp_path, "fid", "psnr_y"))] == ["fid", "kid", "psnr_y"]
    assert [spec.name for spec in check_metrics(config_of(tmp_path, "kid", "psnr_y", "fid"))] == [
        "kid",
        "psnr_y",
        "fid",
    ]


def test_missing_weights_are_gaps_and_the_rest_is_measured(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    chosen = choose_metrics(config_of(tmp_path, "lpips", "psnr_y", "fid"))
    assert set(chosen.gaps) == {"lpips", "fid", "kid"}
    assert (chosen.single, chosen.of_sets, chosen.rank_by) == (("psnr_y",), (), "psnr_y")
    assert "lpips is left out" in caplog.text
    assert f"not in {tmp_path}" in caplog.text
    assert "fetch_weights" in caplog.text
    assert "psnr_y ranks in place of lpips" in caplog.text


def test_weights_that_are_there_are_used_and_known_by_content(tmp_path: Path) -> None:
    config = config_of(tmp_path, "psnr_y", "fid", rank_by="psnr_y")
    [file] = choose_metrics(config).specs[1].weights
    (tmp_path / file).write_bytes(b"weights")
    chosen = choose_metrics(config)
    assert chosen.of_sets == ("fid", "kid")
    assert chosen.weight_digests() == [f"{file}={file_sha256(tmp_path / file)}"]
    measuring = chosen.measuring(config)
    assert (measuring.metrics, measuring.features, measuring.weights) == (("psnr_y",), True, str(tmp_path))


@pytest.mark.parametrize(
    ("names", "metrics", "reason"),
    [
        (("psnr",), {}, "no metric 'psnr'"),
        (("psnr_y",), {"rank_by": "ssim_y"}, "rank_by is ssim_y"),
        (("psnr_y", "fid"), {"rank_by": "fid"}, "rank_by is fid"),
        (("fid",), {}, "No metric is measured image by image"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, names: tuple[str, ...], metrics: dict[str, str], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        check_metrics(config_of(tmp_path, *names, **metrics))
