"""Commands that pages and manifests show: whether the job that they name takes their arguments."""

import re
import shlex

from pipelines.entry import find_preset, parse
from rssr.configuration import Config, load_config
from tests.jobs.running import ROOT
from tests.jobs.test_presets import job_config

IN_IMAGE = "/opt/rssr/"


def typed_commands(page: str) -> list[str]:
    """Commands in a page's blocks that run a job, lines that go on put together, without what is said about them."""
    parts = page.split("```")[1::2]  # of inline code there is none with three backquotes
    blocks = "\n".join(part for part in parts if not part.startswith("python")).replace("\\\n", " ")
    found = [line[line.index("python jobs/") :].strip() for line in blocks.splitlines() if "python jobs/" in line]
    return [line.partition("  #")[0].strip() for line in found]


def read_command(command: str) -> tuple[str, Config]:
    """The job that a command names, and the configuration that it makes of its arguments.

    Raises:
        ConfigError: It does not take one of them.
    """
    program, path, *arguments = shlex.split(command)
    assert program == "python"
    file = ROOT / path.removeprefix(IN_IMAGE)
    assert file.is_file() and file.parent.name == "jobs"
    invocation = parse(arguments)
    (default,) = set(re.findall(r'"(quickstart/\w+\.yaml)"', file.read_text(encoding="utf-8")))
    return file.stem, load_config(
        job_config(file.stem), invocation.preset or find_preset(default), invocation.overrides
    )
