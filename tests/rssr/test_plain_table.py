from rssr.plain_table import format_table


def test_columns_are_aligned_and_figures_end_together() -> None:
    rows = [("NAME", "COUNT", ""), ("a", "1", "first"), ("longer", "12,345", "")]
    assert format_table(rows, right={1}) == "\n".join(
        ["NAME     COUNT", "a            1  first", "longer  12,345"],
    )


def test_a_header_alone_is_a_table() -> None:
    assert format_table([("ONE", "TWO")]) == "ONE  TWO"
