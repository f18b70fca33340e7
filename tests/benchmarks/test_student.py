import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ABSENT = ("diffusers", "transformers", "pydantic", "ray", "mlflow", "fsspec", "PIL", "scipy", "cv2", "yaml")


def test_it_runs_and_compares_with_pytorch_alone() -> None:
    """At a size of 64, so that only the words and the counts are to be trusted, not the times."""
    arguments = ["--device", "cpu", "--size", "64", "--repeats", "1", "--batches", "1,2", "--only", "student,rrdb"]
    script = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({ABSENT})); sys.argv[1:] = {arguments}; "
        "runpy.run_path('benchmarks/student.py', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| student | ")]
    assert [(row[1], row[2]) for row in rows[:2]] == [("eager float32", "1"), ("eager float32", "2")]
    assert {row[5] for row in rows} <= {"3.5", "3.6"}  # 226.7 / 64, and what does not shrink with the image
    compared = re.findall(
        r"^\| (student, batch \d|RRDB in its best mode)[^|]* \| (\d+\.\d+) \|", done.stdout, re.MULTILINE
    )
    assert [name for name, _ in compared] == ["student, batch 1", "student, batch 2", "RRDB in its best mode"]
    assert "SD 2.1 with 50 steps / student, both eager | left out" in done.stdout


def test_an_unknown_part_is_refused_wherever_it_is_started(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks/student.py"), "--only", "teachers"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "not teachers" in done.stderr
