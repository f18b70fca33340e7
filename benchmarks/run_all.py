"""Run every benchmark in turn; each prints its hardware, versions and figures.

Run: make bench
"""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = ("degradation", "data", "quickstart", "qgam", "student", "latent", "training")


def main() -> int:
    """Run them one after another; the exit status is that of the first that fails."""
    root = Path(__file__).resolve().parents[1]
    for name in BENCHMARKS:
        print(f"== {name}", flush=True)
        done = subprocess.run([sys.executable, f"benchmarks/{name}.py"], cwd=root, check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
