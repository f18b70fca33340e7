"""The papers' figures, a second time as the documents print them."""

import math
import tomllib
from fnmatch import fnmatch

import pytest

from pipelines.evaluation.pairing import POOLED
from pipelines.evaluation.published import load_published, load_table, table_names
from rssr.errors import ConfigError
from tests.house.project_files import ROOT

# As printed, row by row.
PRINTED = {
    "slimdiffsr/table2": """
        TTST 26.05 0.6663 0.5309 0.2825 0.2397 38.55 0.218 18.37
        TransENet 26.17 0.6651 0.5240 0.2826 0.2381 37.50 0.077 35.09
        ESRGAN 24.71 0.5919 0.3888 0.2074 0.2442 48.18 0.044 16.72
        SwinIR-GAN 25.18 0.6100 0.3753 0.2189 0.2416 45.34 0.132 11.46
        EDiffSR 23.19 0.4896 0.4512 0.2799 0.1839 42.55 6.745 30.37
        DiffBIR 21.55 0.3986 0.4738 0.2489 0.4523 60.86 8.637 1717
        S3Diff 23.18 0.5112 0.3511 0.1941 0.2855 51.02 0.736 1327
        AdcSR 24.64 0.5918 0.3935 0.2256 0.2717 44.94 0.088 456.1
        SlimDiffSR 24.09 0.5642 0.3443 0.1819 0.2837 49.84 0.037 58.05""",
    "slimdiffsr/table3": """
        TTST 0.6387 0.3430 0.1968 30.74
        TransENet 0.6240 0.3399 0.1979 31.21
        ESRGAN 0.4901 0.2715 0.2526 44.00
        SwinIR-GAN 0.4865 0.2718 0.2199 39.94
        EDiffSR 0.5117 0.3118 0.1842 43.47
        DiffBIR 0.5270 0.2764 0.4524 60.34
        S3Diff 0.3995 0.2172 0.2832 52.79
        AdcSR 0.5026 0.3113 0.2535 39.42
        SlimDiffSR 0.4423 0.2461 0.3043 55.32""",
    "slimdiffsr/table4": """
        TTST 10.34 0.1929 0.2076 22.33
        TransENet 9.442 0.1742 0.1993 22.67
        ESRGAN 4.229 0.5092 0.2428 37.84
        SwinIR-GAN 5.365 0.2995 0.1940 28.62
        EDiffSR 3.651 0.3567 0.1840 39.69
        DiffBIR 4.059 0.7010 0.4243 58.90
        S3Diff 4.914 0.3363 0.2425 35.57
        AdcSR 6.540 0.2652 0.1871 33.12
        SlimDiffSR 5.172 0.5100 0.2579 46.95""",
    "ldcsr/integer": """
        HAT-L 29.49 0.321 39.82
        SR3 28.15 0.252 26.01
        SPSR 25.95 0.185 20.94
        LIIF 29.32 0.334 42.49
        CiaoSR 29.64 0.316 38.77
        LMF-LTE 29.62 0.318 39.07
        LDCSR 27.19 0.174 18.37""",
    "ldcsr/continuous": """
        LIIF 29.32 0.334 42.49
        CiaoSR 29.64 0.316 38.77
        LMF-LTE 29.62 0.318 39.07
        LDCSR 27.19 0.174 18.37""",
}
COLUMNS = {
    "slimdiffsr/table2": ("psnr_y", "ssim_y", "lpips", "dists", "maniqa", "musiq", "seconds", "parameters_m"),
    "slimdiffsr/table3": ("lpips", "dists", "maniqa", "musiq"),
    "slimdiffsr/table4": ("niqe", "clipiqa", "maniqa", "musiq"),
    "ldcsr/integer": ("psnr_rgb", "lpips", "fid"),
    "ldcsr/continuous": ("psnr_rgb", "lpips", "fid"),
}
PLACES = {
    "slimdiffsr/table2": (POOLED, 4.0),
    "slimdiffsr/table3": (POOLED, 8.0),
    "slimdiffsr/table4": ("Sentinel-2", 8.0),
    "ldcsr/integer": ("AID", 4.0),
    "ldcsr/continuous": ("AID", 4.0),
}


@pytest.mark.parametrize("name", PRINTED)
def test_every_row_and_column_is_as_printed(name: str) -> None:
    table, width = load_table(name), len(COLUMNS[name])
    rows = [line.strip().rsplit(" ", width) for line in PRINTED[name].strip().splitlines()]
    assert table.columns == COLUMNS[name]
    assert table.methods == tuple(row[0] for row in rows)
    assert table.places == (PLACES[name],)
    held = [[table.value(PLACES[name], row[0], column) for column in table.columns] for row in rows]
    assert held == [[float(figure) for figure in row[1:]] for row in rows]
    assert len(load_published(name)) == len(rows) * width


def test_every_figure_names_document_and_table() -> None:
    for name in table_names():
        for cell in load_published(name):
            paper, _, part = name.partition("/table")
            if part:
                assert cell.source == f"SlimDiffSR, arXiv:2605.02198v2, Table {part}"
            else:
                assert cell.source.startswith(paper.split("/")[0].upper())
                assert "README" in cell.source


def test_what_the_documents_do_not_give_is_blank() -> None:
    table = load_table("lcmsr/x4")
    assert table.places == (("AID", 4.0), ("DIOR", 4.0))
    assert table.columns == ("psnr_rgb", "lpips", "fid")
    assert load_published("lcmsr/x4") == ()
    assert math.isnan(table.value(("AID", 4.0), "LCMSR", "lpips"))
    assert math.isnan(load_table("ldcsr/integer").value(("AID", 8.0), "SR3", "fid"))


def test_date_and_hardware_are_those_that_are_stated() -> None:
    stated = {name: (load_table(name).date, load_table(name).hardware) for name in table_names()}
    assert stated["slimdiffsr/table2"][0] == "2026-05-17"
    assert "RTX 3090" in stated["slimdiffsr/table2"][1]
    assert "512 x 512" in stated["slimdiffsr/table2"][1]
    assert stated["ldcsr/integer"] == ("2025-05-19", "")
    assert stated["lcmsr/x4"] == ("2025-03-21", "")


def test_an_unknown_table_is_refused_with_those_there_are() -> None:
    assert set(table_names()) == {*PRINTED, "lcmsr/x4"}
    for name in ("slimdiffsr/table9", "../published", ""):
        with pytest.raises(ConfigError, match="slimdiffsr/table2"):
            load_published(name)


def test_the_tables_are_part_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert any(fnmatch("table2.yaml", pattern) for pattern in project["package-data"]["*"])
    assert project["packages"]["find"].get("namespaces", True), "a folder of data alone is no package of its own"
