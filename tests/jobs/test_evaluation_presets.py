"""The papers' tables as presets of `jobs/evaluate.py`."""

import re
from pathlib import Path
from typing import Any

import pytest

from pipelines.entry import find_preset
from pipelines.evaluation.config import EvaluateConfig, EvaluatedDataset, MethodConfig
from pipelines.evaluation.pairing import POOLED
from pipelines.evaluation.published import PARAMETERS, SECONDS, load_table
from rssr.configuration import load_config
from tests.jobs.test_presets import EVALUATION_FILES, name_of

PAPER_EVALUATIONS = [path for path in EVALUATION_FILES if path.parent.name == "paper"]

# How the papers measure, a second time: SlimDiffSR, sections 4.1 and 4.3 with the columns of Tables 2 to 4; LDCSR and
# LCMSR, README, abstract and the authors' repository.
_LDCSR = {"AID": 1000, "DOTA": 400, "DIOR": 400, "NWPU-RESISC45": 100}
_SLIMDIFFSR = {"NWPU-RESISC45": 630, "DOTA": 500, "DIOR": 500}
PROTOCOLS: dict[str, dict[str, Any]] = {
    "table2": {
        "num_images": _SLIMDIFFSR,
        "scales": (4.0,),
        "degradation": "slimdiffsr",
        "metrics": ("psnr_y", "ssim_y", "lpips", "dists", "maniqa", "musiq"),
        "published": "slimdiffsr/table2",
        "method": "SlimDiffSR",
    },
    "table3": {
        "num_images": _SLIMDIFFSR,
        "scales": (8.0,),
        "degradation": "slimdiffsr",
        "metrics": ("lpips", "dists", "maniqa", "musiq"),
        "published": "slimdiffsr/table3",
        "method": "SlimDiffSR",
    },
    "table4": {
        "num_images": {"Sentinel-2": None},
        "scales": (8.0,),
        "degradation": "bicubic",
        "metrics": ("niqe", "clipiqa", "maniqa", "musiq"),
        "published": "slimdiffsr/table4",
        "method": "SlimDiffSR",
    },
    "ldcsr_integer": {
        "num_images": _LDCSR,
        "scales": (2.0, 4.0, 8.0),
        "degradation": "bicubic",
        "metrics": ("psnr_rgb", "lpips", "fid"),
        "published": "ldcsr/integer",
        "method": "LDCSR",
    },
    "ldcsr_continuous": {
        "num_images": _LDCSR,
        "scales": (2.0, 3.4, 4.0, 8.0),
        "degradation": "bicubic",
        "metrics": ("psnr_rgb", "lpips", "fid"),
        "published": "ldcsr/continuous",
        "method": "LDCSR",
    },
    "evaluate_lcmsr_x4": {
        "num_images": {"AID": 1000, "DIOR": 400},
        "scales": (4.0,),
        "degradation": "bicubic",
        "metrics": ("psnr_rgb", "lpips", "fid"),
        "published": "lcmsr/x4",
        "method": "LCMSR",
    },
}


@pytest.mark.parametrize("preset", PAPER_EVALUATIONS, ids=name_of)
def test_evaluations_of_papers_hold_the_published_protocol(preset: Path) -> None:
    held = load_config(EvaluateConfig, preset)
    wanted = PROTOCOLS[preset.stem]
    datasets = [entry for entry in held.datasets if isinstance(entry, EvaluatedDataset)]
    assert {entry.name: entry.num_images for entry in datasets} == wanted["num_images"]
    assert {entry.max_side for entry in datasets} == {None}, "original sizes"
    assert [entry.has_hr for entry in datasets] == [name != "Sentinel-2" for name in wanted["num_images"]]
    assert held.scales == wanted["scales"]
    assert held.degradation.kind == wanted["degradation"]
    assert held.metrics.names == wanted["metrics"]
    assert held.metrics.rank_by in held.metrics.names
    assert held.published == wanted["published"]
    assert held.allow_trained_on == ()
    names = [method.name for method in held.methods if isinstance(method, MethodConfig)]
    assert names == ["bicubic", wanted["method"]]


@pytest.mark.parametrize("preset", PAPER_EVALUATIONS, ids=name_of)
def test_evaluations_have_the_columns_and_names_of_the_published_table(preset: Path) -> None:
    held = load_config(EvaluateConfig, preset)
    assert held.published is not None
    table = load_table(held.published)
    assert held.metrics.names == tuple(name for name in table.columns if name not in (SECONDS, PARAMETERS))
    datasets = {entry.name for entry in held.datasets if isinstance(entry, EvaluatedDataset)}
    assert {dataset for dataset, _ in table.places} <= {*datasets, POOLED}
    assert {scale for _, scale in table.places} <= set(held.scales)


@pytest.mark.parametrize("preset", PAPER_EVALUATIONS, ids=name_of)
def test_evaluations_of_papers_say_of_every_value_where_it_comes_from(preset: Path) -> None:
    source = re.compile(r"# .*\b(sections? \d|Table \d|README|abstract|authors' code|ours)")
    lines = preset.read_text(encoding="utf-8").splitlines()
    values = [line for line in lines if re.match(r"\s*(- )?(\w+: [^#]|\{)", line)]
    assert len(values) >= 12
    assert [line for line in values if not source.search(line)] == []


@pytest.mark.parametrize("preset", PAPER_EVALUATIONS, ids=name_of)
def test_the_places_of_an_evaluation_are_set_as_its_first_lines_say(preset: Path) -> None:
    text = preset.read_text(encoding="utf-8")
    command = re.search(r"#   (python jobs/evaluate\.py (?:.*\\\n#)*.*)", text)
    assert command is not None
    name, *overrides = command.group(1).replace("\\\n#", " ").split()[2:]
    assert find_preset(name) == preset
    held = load_config(EvaluateConfig, preset, overrides)
    places = [entry.uri for entry in held.datasets if isinstance(entry, EvaluatedDataset)]
    assert all(place.startswith("/data/") for place in places)
    methods = [method.model for method in held.methods if isinstance(method, MethodConfig)]
    assert str(methods[1]).startswith("/models/")
    checkpoint = re.search(r'(methods\.\w+)="(\{.*\})"', text)
    if checkpoint is not None:
        assert load_config(EvaluateConfig, preset, ["=".join(checkpoint.groups())]).methods[0] == held.methods[0]
