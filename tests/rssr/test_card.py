from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rssr.card import ModelCard, TrainingManifest, Uncertainty, render_schema, shipped_schema
from rssr.errors import ModelError

FACTS = {"name": "example", "method": "slimdiffsr", "bands": ["red", "green"], "scale_range": (4, 8), "licence": "CC0"}


UNCERTAINTY = {
    "fitted_on": {"uri": "s3://data/aid.parquet", "digest": "ab", "split": "test, half 'fit'", "num_images": 2},
    "fitted_images_sha256": "uncertainty_images.txt",
    "num_images": 2,
    "rmse": 9.5,
    "rms_deviation": 9.0,
    "correlation": 0.4,
    "coverage_1": 0.7,
    "coverage_2": 0.95,
    "calibration_error": 0.1,
    "likelihood_gain": 0.2,
    "reliability": [(3.0, 3.5), (12.0, 11.0)],
}


def full_card() -> ModelCard:
    return ModelCard(
        **FACTS,
        gsd_range_m=(0.5, 8),
        training_manifests=[TrainingManifest(uri="s3://data/aid.parquet", digest="ab", split="train", num_images=3)],
        training_images_sha256="images.txt",
        uncertainty=UNCERTAINTY,
        metrics={"psnr_db": 27.19},
        notes="first line\nsecond: line",
    )


def test_card_survives_its_file(tmp_path: Path) -> None:
    full_card().save(tmp_path / "card.yaml")
    assert ModelCard.load(tmp_path / "card.yaml") == full_card()


def test_shipped_schema_is_current() -> None:
    assert shipped_schema() == render_schema(), "run: python -m rssr.card > rssr/card.schema.json"


def test_every_field_is_documented() -> None:
    for kind in (ModelCard, Uncertainty, TrainingManifest):
        assert [name for name, field in kind.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    "change",
    [
        {"scale_range": (8, 4)},
        {"scale_range": (0.5, 4)},
        {"gsd_range_m": (0, 1)},
        {"bands": []},
        {"bands": ["red", "red"]},
        {"training_images_sha256": "../images.txt"},
        {"training_images_sha256": ".."},
        {"tile_size": 0},
        {"halo": -1},
        {"color_match": "always"},
        {"colour": "red"},
        {"uncertainty": {**UNCERTAINTY, "coverage_1": 1.2}},
        {"uncertainty": {**UNCERTAINTY, "num_images": 0}},
        {"uncertainty": {**UNCERTAINTY, "fitted_images_sha256": "../list.txt"}},
    ],
)
def test_contradicting_facts_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        ModelCard(**{**FACTS, **change})


@pytest.mark.parametrize(
    ("text", "reason"), [("{", "not valid YAML"), ("name: x", "licence"), ("- a", "not a model card")]
)
def test_a_bad_file_is_explained(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "card.yaml").write_text(text)
    with pytest.raises(ModelError, match=reason):
        ModelCard.load(tmp_path / "card.yaml")


def test_training_images_come_from_the_named_list(tmp_path: Path) -> None:
    digests = {"a" * 64, "b" * 64}
    (tmp_path / "images.txt").write_text("\n".join(sorted(digests)) + "\n")
    assert full_card().training_images(tmp_path) == digests
    assert ModelCard(**FACTS).training_images(tmp_path) == frozenset()
    assert ModelCard(**FACTS, training_images_sha256="c" * 64).training_images(tmp_path) == frozenset()


def test_a_lost_list_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"images\.txt"):
        full_card().training_images(tmp_path)
