import subprocess
import sys

from rssr.metrics import METRICS, describe_metrics


def test_every_metric_is_listed_with_what_it_needs() -> None:
    lines = dict(line.split(maxsplit=1) for line in describe_metrics().splitlines())
    assert list(lines) == list(METRICS)
    assert lines["psnr_y"] == "PSNR (Y): higher is better; 0 to inf dB; on y without the border; needs HR"
    assert "needs no other image" in lines["musiq"]
    assert "PolyForm-Noncommercial" in lines["musiq"]
    assert METRICS["musiq"].weights[0] in lines["musiq"]
    assert "a set of HR images" in lines["fid"]


def test_metrics_are_described_without_loading_what_computes_them() -> None:
    code = (
        "import sys; from rssr.metrics import METRICS, describe_metrics, find_missing; "
        "describe_metrics(); find_missing(METRICS); "
        "print({'torch', 'pyiqa', 'torchvision', 'scipy'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
