import shlex

import pytest

from pipelines.bulk.commands import command_line
from pipelines.bulk.config import BulkConfig
from rssr.configuration import load_config
from tests.pipelines.bulk.made_runs import config


def test_only_what_differs_from_the_usual_is_typed() -> None:
    assert command_line(config(num_workers=0), "verify_only=true") == (
        "python jobs/bulk.py input=s3://in/2026/ output=s3://out/sr model=models:/ldcsr@champion scale=4 "
        "verify_only=true"
    )


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"input": ["a b/*.tif", "list.txt"], "scale": 3.4},
        {"input": "2024", "output": "123", "model": "null"},
        {"tiling": {"halo": 24, "color_match": "local"}, "products": {"licence": "CC-BY-4.0", "other_bands": True}},
        {"products": {"stretch": {"high": 0.4, "gamma": 2.0}}, "worker": {"num_gpus": 0.5}, "seed": 7},
        {"input": "it's [odd], {really}: #1", "num_samples": 4},
    ],
)
def test_the_command_is_read_as_the_same_configuration(values: dict[str, object]) -> None:
    before = config(**values)
    words = shlex.split(command_line(before))
    assert words[:2] == ["python", "jobs/bulk.py"]
    assert load_config(BulkConfig, None, words[2:]) == before


def test_what_belongs_to_one_command_is_not_done_again() -> None:
    again = command_line(config(fresh=True, retry_failed=True, verify_only=True))
    assert not any(key in again for key in ("fresh", "retry_failed", "verify_only"))


def test_credentials_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret-key")
    assert "very-secret" not in command_line(config(input="https://me:pass@host/very-secret-key/"))
