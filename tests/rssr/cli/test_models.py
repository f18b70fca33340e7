import functools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rssr.cli import main, models
from rssr.models.registry import list_models


@pytest.fixture(scope="module")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where models are looked for, with the weights of one; all are counted once, which takes long, for both forms."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "slimdiffsr").mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / "slimdiffsr" / name).write_bytes(b"{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RSSR_MODELS", str(folder))
        patch.setattr(models, "collect", functools.cache(models.collect))
        yield folder


@pytest.mark.usefixtures("models_folder")
def test_every_model_is_listed_with_its_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    lines = {line["name"]: line for line in json.loads(capsys.readouterr().out)}
    assert list(lines) == list_models()
    assert lines["bicubic"]["live_parameters"] == 0
    assert lines["bicubic"]["weights"] is None
    for line in lines.values():
        if line["difference"] is not None:
            assert line["difference"] == line["published_parameters"] - line["live_parameters"]
            assert line["difference"] == sum(line["difference_parts"].values())
    assert (lines["slimdiffsr"]["layer_macs"], lines["slimdiffsr"]["attention_macs"]) == (226_506_906_008, 209_715_200)
    assert lines["bicubic"]["layer_macs"] is None


def test_the_table_tells_costs_and_where_weights_lie(models_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    rows = {row.split()[0]: row for row in lines}
    assert str(models_folder / "slimdiffsr") in rows["slimdiffsr"]
    assert "not found" in rows["slimdiffsr-taesd"]
    assert "not needed" in rows["bicubic"]
    end = header.index("GMAC") + len("GMAC")
    costs = {name: row[:end].split()[-1] for name, row in rows.items()}
    assert costs["slimdiffsr"] == "226.7"
    for name, parts in {
        "ldcsr": ["31,252,707", "31,252,708", "1", "85.6", "at", "256"],
        "lcmsr": ["31,252,707", "31,252,708", "1", "80.7", "at", "256"],
        "lcmsr-x4": ["30,841,439", "30,841,439", "0", "53.9", "at", "256"],
    }.items():
        assert rows[name].split()[1:7] == parts
    assert costs["bicubic"] == costs["slimdiffsr-uncertainty"] == "-"
    assert float(costs["slimdiffsr-vae"]) > float(costs["slimdiffsr-wo-qgam"]) > float(costs["slimdiffsr"])


def test_shares_are_those_of_the_papers_first_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--shares"]) == 0
    printed = capsys.readouterr().out
    rows = {row[:15]: row for row in printed.splitlines()}
    layers, attention, parameters = (rows[start] for start in ("MACs of convolu", "MACs with the p", "parameters     "))
    assert "339,102,597,120  1,781,228,961,792  15.99 / 84.01 %" in layers
    assert layers.endswith("16 / 84 %  reproduced")
    assert "402,128,732,160  1,815,588,700,160  18.13 / 81.87 %" in attention
    assert "865,910,724         83,653,863   91.19 / 8.81 %  92.02 / 7.98 %  not reproduced" in parameters
    assert "92.02 / 7.98 % does not reproduce: counting parameters gives 91.19 / 8.81 %." in printed
    assert "16 / 84 % comes from counting MACs of convolutions and linear layers." in printed


def test_shares_and_json_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["models", "--json", "--shares"])
    assert stopped.value.code == 2
    assert "--shares" in capsys.readouterr().err
