import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.datasets.manifest import ImageRecord, Manifest
from pipelines.evaluation.comparison import EvaluationSpec
from pipelines.experiment.slimdiffsr import SlimDiffSRJobConfig
from pipelines.experiment.training import Plan
from pipelines.experiment.uncertainty import (
    fitted_images,
    measure_uncertainty,
    uncertainty_facts,
    uncertainty_parts,
)
from pipelines.storage import open_store
from rssr.configuration import load_config
from rssr.degradation import degradation_preset
from rssr.images import encode_png
from rssr.methods.slimdiffsr.method import SlimDiffSRMethod
from rssr.models.loaded import LoadedModel, load_model
from tests.jobs.running import TINY

SPEC = EvaluationSpec(4.0, degradation_preset("bicubic"), seed=0, max_side=48, border=4)


class GreyResolver:
    """Grey images, and error bars of half of the range."""

    gives_deviation = True

    def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        return torch.zeros(*lr.shape[:2], *output_size)

    def with_deviation(self, lr: Tensor, output_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        return self(lr, output_size), torch.full((*lr.shape[:2], *output_size), 0.5)


GREY = LoadedModel("grey", GreyResolver(), None, {}, None)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Five images held out, each of one brightness, 40, 80, 120 ..., of which the last is too small to be measured."""
    records = []
    for number in range(5):
        side = 64 if number < 4 else 16
        data = encode_png(np.full((side, side, 3), 40 * (number + 1), np.uint8))
        (tmp_path / f"{number}.png").write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        records.append(ImageRecord(f"{number}.png", 0, "test", None, side, side, len(data), digest))
    config = load_config(SlimDiffSRJobConfig, TINY)
    manifest = Manifest((str(tmp_path),), tuple(records))
    method = SlimDiffSRMethod(config.method_config())
    return Plan(method, config, open_store(str(tmp_path / "out")), manifest, "manifests/one", {})


def brightness(record: ImageRecord) -> int:
    return 40 * (int(record.key[0]) + 1)


def test_error_bars_meet_errors_in_grey_levels_on_images_they_were_not_fitted_on(plan: Plan) -> None:
    measured = measure_uncertainty(plan, GREY, [SPEC])
    assert measured is not None
    large = [record for record in plan.manifest.half_of_test_images("report") if record.side > 16]
    assert measured.num_images == len(large)
    assert not set(large) & set(fitted_images(plan))
    errors = [128 - brightness(record) for record in large]
    assert measured.reliability.num_values == len(large) * 3 * 48 * 48
    assert measured.reliability.rmse == pytest.approx(np.sqrt(np.mean(np.square(errors))))
    assert measured.reliability.rms_deviation == pytest.approx(63.75)
    assert {example.key for example in measured.examples} == {record.key for record in large}
    for example in measured.examples:
        assert example.error == pytest.approx(np.full((48, 48), abs(128 - 40 * (int(example.key[0]) + 1))))
        assert example.deviation == pytest.approx(np.full((48, 48), 63.75))


def test_every_scale_is_measured(plan: Plan) -> None:
    one = measure_uncertainty(plan, GREY, [SPEC])
    two = measure_uncertainty(plan, GREY, [SPEC, replace(SPEC, scale=2.0)])
    assert one is not None
    assert two is not None
    assert two.scales == (4.0, 2.0)
    assert two.num_images == one.num_images
    assert two.reliability.num_values == 2 * one.reliability.num_values


def test_models_without_error_bars_have_nothing_to_measure(plan: Plan) -> None:
    assert measure_uncertainty(plan, load_model("bicubic"), [SPEC]) is None


def test_nothing_is_claimed_where_no_image_is_large_enough(plan: Plan, caplog: pytest.LogCaptureFixture) -> None:
    assert measure_uncertainty(plan, GREY, [replace(SPEC, border=30)]) is None
    assert "large enough" in caplog.text


def test_the_card_tells_images_and_figures(plan: Plan) -> None:
    measured = measure_uncertainty(plan, GREY, [SPEC])
    assert measured is not None
    facts = uncertainty_facts(plan, measured, "uncertainty_images.txt")
    assert facts.fitted_on is not None
    assert facts.fitted_on.num_images == len(fitted_images(plan)) == 3
    assert facts.fitted_on.digest == plan.manifest.digest
    assert facts.fitted_on.uri.endswith("out/manifests/one")
    assert facts.rmse == measured.reliability.rmse
    assert facts.reliability == ((pytest.approx(63.75), measured.reliability.rmse),)
    assert facts.fitted_images_sha256 == "uncertainty_images.txt"
    told = json.loads(measured.to_json())
    assert told["reliability"]["bins"][0]["num_values"] == measured.reliability.num_values


def test_the_report_shows_reliability_and_maps(plan: Plan) -> None:
    measured = measure_uncertainty(plan, GREY, [SPEC])
    assert measured is not None
    html = "".join(uncertainty_parts(measured))
    for words in ("fitted on 3 of the held-out images", "Reliability", "error bar", "grey levels", "<svg"):
        assert words in html
    assert html.count("<img") == 3 * len(measured.examples)


def test_error_bars_that_were_never_fitted_are_judged_on_all_images_and_called_so(plan: Plan) -> None:
    unfitted = replace(plan, config=plan.config.model_copy(update={"phases": ("student",)}))
    measured = measure_uncertainty(unfitted, GREY, [SPEC])
    assert measured is not None
    assert not measured.is_fitted
    assert fitted_images(unfitted) == ()
    assert measured.num_images == 4, "all that are large enough"
    facts = uncertainty_facts(unfitted, measured, "uncertainty_images.txt")
    assert (facts.fitted_on, facts.fitted_images_sha256) == (None, None)
    html = "".join(uncertainty_parts(measured))
    assert "not fitted" in html
    assert "fitted on" not in html


def test_samples_that_agree_exactly_can_be_measured(plan: Plan) -> None:
    class Sure(GreyResolver):
        def with_deviation(self, lr: Tensor, output_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
            sr = self(lr, output_size)
            return sr, torch.zeros_like(sr)

    measured = measure_uncertainty(plan, replace(GREY, resolver=Sure()), [SPEC])
    assert measured is not None
    assert measured.reliability.coverage_1 < 0.7
