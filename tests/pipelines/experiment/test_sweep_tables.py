from pipelines.experiment.sweep_rows import sweep_rows
from pipelines.experiment.sweep_tables import FilledTable, SweepTable, fill_tables
from tests.pipelines.experiment.test_sweep_rows import measured

LOSSES = SweepTable("Table 7", "losses", {"wo-distillation": "No-Dis", "wo-mmd": "No-MMD", "published": "Ours"})
TIMESTEP = SweepTable("Fig. 13", "timestep", {"fixed-timestep": "Fixed", "published": "Ours"})
MODULES = SweepTable("Table 6", "modules", {"wo-dsc": "W/O DSC", "published": "Ours"})


def filled(failures: tuple[str, ...] = (), scales: tuple[float, ...] = (4.0,)) -> list[FilledTable]:
    rows = sweep_rows(measured(scales), "published", {"published": 58.05, "wo-mmd": 58.05})
    return fill_tables((MODULES, LOSSES, TIMESTEP), rows, failures)


def titles(table: FilledTable) -> list[str]:
    return [title for title, _ in table.entries]


def test_only_tables_that_were_asked_for_come_in_the_papers_order_with_the_published_form_last() -> None:
    losses, timestep = filled()
    assert (losses.heading, losses.sample) == ("Table 7: losses", "3 held-out images at scale 4")
    assert titles(losses) == ["No-MMD", "Ours"]
    assert titles(timestep) == ["Fixed", "Ours", "Fixed, teacher", "Ours, teacher"]


def test_a_variant_that_failed_has_a_row_that_says_so() -> None:
    modules, losses, _ = filled(("wo-distillation", "wo-dsc"))
    assert titles(modules) == ["W/O DSC", "Ours"]
    assert titles(losses) == ["No-Dis", "No-MMD", "Ours"]
    [line] = [line for line in losses.to_text().splitlines() if line.startswith("No-Dis")]
    assert "failed" in line
    assert "failed" in losses.to_report()


def test_every_scale_has_a_table() -> None:
    assert [(table.heading, table.scale) for table in filled(scales=(2.0, 8.0))] == [
        ("Table 7: losses", 2.0),
        ("Table 7: losses", 8.0),
        ("Fig. 13: timestep", 2.0),
        ("Fig. 13: timestep", 8.0),
    ]


def test_figures_stand_below_their_headings() -> None:
    about, header, *lines = filled()[0].to_text().splitlines()
    assert about == "Table 7: losses; 3 held-out images at scale 4"
    assert len({len(line) for line in (header, *lines)}) == 1
    found = [cell.strip() for cell in lines[0].split("  ") if cell.strip()]
    # PSNR-Y, SSIM-Y, difference and its interval, seconds, parameters here and in the paper, MACs
    assert found == ["No-MMD", "34.80", "0.3080", "-0.200", "-0.448", "0.048", "0.250", "1.00", "58.05", "2.00"]
    reference = [cell.strip() for cell in lines[1].split("  ") if cell.strip()]
    assert reference[3:6] == ["–"] * 3  # noqa: RUF001  # the dash of missing values


def test_models_of_a_table_are_known_by_their_titles() -> None:
    assert filled()[1].models == {
        "fixed-timestep": "Fixed",
        "published": "Ours",
        "fixed-timestep teacher": "Fixed, teacher",
        "published teacher": "Ours, teacher",
    }
