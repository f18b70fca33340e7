"""Wall-clock time and peak memory (PSS of all processes) of the quickstart.

Run: python benchmarks/quickstart.py [key=value ...]
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

_MARK = "RSSR_BENCHMARK_MARK"
_INTERVAL_S = 2.0


def main() -> int:
    """Run the job, sample the memory of every process it starts, and print both figures."""
    mark = f"{os.getpid()}-{time.time_ns()}"
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory(prefix="rssr-quickstart-") as output:
        command = [sys.executable, str(root / "jobs" / "slimdiffsr.py"), "quickstart/slimdiffsr"]
        start = time.monotonic()
        job = subprocess.Popen([*command, f"output.uri={output}", *sys.argv[1:]], env={**os.environ, _MARK: mark})
        peak = 0
        while job.poll() is None:
            peak = max(peak, sum(_pss(process) for process in psutil.process_iter() if _is_ours(process, mark)))
            time.sleep(_INTERVAL_S)
        elapsed = time.monotonic() - start
    print(f"exit status {job.returncode}, {elapsed:.0f} s, peak PSS {peak / 2**30:.2f} GiB, {os.cpu_count()} CPU cores")
    return job.returncode


def _is_ours(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(_MARK) == mark
    except psutil.Error:
        return False


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


if __name__ == "__main__":
    sys.exit(main())
