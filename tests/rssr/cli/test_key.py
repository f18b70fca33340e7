import re

import pytest

from rssr.cli import main
from rssr.service_keys import key_digest


def test_a_key_is_shown_once_with_the_line_that_lets_it_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "anna.b-1"]) == 0
    printed = capsys.readouterr().out
    key = re.search(r"^  (rssr_\S+)$", printed, re.MULTILINE)
    assert key is not None
    assert f"\n  anna.b-1:{key_digest(key[1])}\n" in printed
    assert main(["key", "anna.b-1"]) == 0
    assert key[1] not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", "a b", "a:b", "-a", "x" * 65, "é"])
def test_names_that_would_not_fit_a_line_are_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", *(["--"] if name.startswith("-") else []), name]) == 2
    assert "cannot be called" in capsys.readouterr().err
