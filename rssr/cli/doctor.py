"""`rssr doctor`: is all here that is needed, and does it work?"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rssr.doctor import DoctorOptions, Finding

NAME = "doctor"
HELP = (
    "Look at everything that jobs and commands need (packages, GPU, GDAL, disks, Ray, MLflow, S3, clock, weights), and "
    "compute a small golden scene. Exit status: 0 where nothing failed, 2 where something will fail."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--golden",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="compute a small scene, and compare its pixels with the recorded ones (default)",
    )
    parser.add_argument(
        "--address", help="Ray cluster, as ray.address of the jobs (default: $RAY_ADDRESS; without one none is asked)"
    )
    parser.add_argument(
        "--output", metavar="URI", help="where jobs shall write: a folder (default: this one), or s3://BUCKET/PREFIX"
    )
    parser.add_argument("--mlflow", metavar="URI", help="MLflow store (default: $MLFLOW_TRACKING_URI)")
    parser.add_argument(
        "--base-weights", type=Path, metavar="DIR", help="Stable Diffusion's directory (default: the hub's cache)"
    )
    parser.add_argument(
        "--least-free", type=float, default=10.0, metavar="GIB", help="free space that a disk shall have (default 10)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Look, and tell: line by line as things are found, or JSON at the end."""
    from rssr.doctor import examine, exit_code, known_checks

    findings = []
    for finding in examine(_options(arguments), known_checks(golden=arguments.golden)):
        findings.append(finding)
        if not arguments.json:
            sys.stdout.write(line(finding) + "\n")
            sys.stdout.flush()
    sys.stdout.write((document(findings) if arguments.json else summary(findings)) + "\n")
    return int(exit_code(findings))


def line(finding: "Finding") -> str:
    """One finding, and below it what to do."""
    remedy = f"\n{'':<9}-> {finding.remedy}" if finding.remedy else ""
    return f"{finding.state:<8} {finding.name}: {finding.found}{remedy}"


def summary(findings: "Sequence[Finding]") -> str:
    """How many there are of each state, e.g. `9 ok, 1 warning`."""
    counts = Counter(str(finding.state) for finding in findings)
    return ", ".join(f"{number} {state}" for state, number in counts.items())


def document(findings: "Sequence[Finding]") -> str:
    """JSON with the version, the exit status, and the findings."""
    from rssr import __version__
    from rssr.doctor import exit_code

    told = [{name: value for name, value in asdict(finding).items() if name != "status"} for finding in findings]
    return json.dumps({"rssr": __version__, "exit_status": int(exit_code(findings)), "findings": told}, indent=2)


def _options(arguments: argparse.Namespace) -> "DoctorOptions":
    from rssr.doctor import DoctorOptions
    from rssr.errors import ConfigError

    if not 0 <= arguments.least_free < 2**20:
        raise ConfigError(f"--least-free {arguments.least_free:g} is no size of a disk in GiB.", "Give e.g. 10.")
    return DoctorOptions(
        address=arguments.address,
        output_uri=arguments.output,
        tracking_uri=arguments.mlflow,
        base_weights=arguments.base_weights,
        least_free_bytes=int(arguments.least_free * 2**30),
    )
