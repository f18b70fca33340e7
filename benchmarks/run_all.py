"""Run every benchmark in turn; each prints its hardware, versions and figures, and the end tells how each went.

Run: make bench, or python benchmarks/run_all.py [NAME ...] for some of them
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

BENCHMARKS = ("degradation", "data", "quickstart", "qgam", "student", "latent", "training", "bulk", "serving")


def main(arguments: Sequence[str]) -> int:
    """Run them one after another, also after one that fails; the exit status is 1 where any did."""
    unknown = sorted(set(arguments) - set(BENCHMARKS))
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}.", file=sys.stderr)
        return 2
    outcomes = {name: _run(name) for name in arguments or BENCHMARKS}
    print("== done")
    for name, (status, seconds) in outcomes.items():
        print(f"{name}: {'ok' if status == 0 else f'exit status {status}'}, {seconds:.0f} s")
    return 1 if any(status for status, _ in outcomes.values()) else 0


def _run(name: str) -> tuple[int, float]:
    root = Path(__file__).resolve().parents[1]
    print(f"== {name}", flush=True)
    started_s = time.monotonic()
    status = subprocess.run([sys.executable, f"benchmarks/{name}.py"], cwd=root, check=False).returncode
    return status, time.monotonic() - started_s


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
