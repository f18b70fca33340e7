import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from pipelines.tracking import Run, Tracker, TrackingConfig, open_tracker
from rssr.configuration import Config, load_config

QUIET = TrackingConfig(system_metrics=False)


class Inner(Config):
    """Nested."""

    sizes: tuple[int, ...] = (1, 2)
    """Sizes."""


class Settings(Config):
    """A configuration."""

    inner: Inner = Inner()
    """Nested."""
    text: str = "x"
    """Text."""
    nothing: int | None = None
    """Optional."""


def data_of(tracker: Tracker, run: Run) -> Any:
    return tracker.client.get_run(run.run_id).data


def artifact(tracker: Tracker, run: Run, path: str, tmp_path: Path) -> Path:
    return Path(tracker.client.download_artifacts(run.run_id, path, str(tmp_path)))


def test_config_is_recorded_as_params_and_as_a_file_that_loads(tracker: Tracker, run: Run, tmp_path: Path) -> None:
    settings = Settings(text="word " * 3000)
    run.log_config(settings)
    params = data_of(tracker, run).params
    assert params["inner.sizes"] == "[1, 2]" and params["nothing"] == "null"
    assert len(params["text"]) == 6000 and params["text"].endswith(" ...")
    assert load_config(Settings, artifact(tracker, run, "config.yaml", tmp_path)) == settings


def test_more_params_than_one_request_takes(tracker: Tracker, run: Run) -> None:
    run.log_params({f"p{number}": number for number in range(250)})
    assert len(data_of(tracker, run).params) == 250


def test_a_changed_param_of_a_reopened_run_is_told(tracker: Tracker, run: Run) -> None:
    run.log_params({"num_workers": 2, "seed": 0})
    again = tracker.open_run("key", "name")
    again.log_params({"num_workers": 4, "seed": 0, "new": "x"})
    data = data_of(tracker, again)
    assert data.params == {"num_workers": "2", "seed": "0", "new": "x"}
    assert {name: value for name, value in data.tags.items() if name.startswith("rssr.changed.")} == {
        "rssr.changed.num_workers": "2 -> 4"
    }


def test_metrics_keep_step_and_value(tracker: Tracker, run: Run) -> None:
    run.log_metrics({"loss": np.float32(0.5), "odd?name": 2}, step=7)
    (point,) = tracker.client.get_metric_history(run.run_id, "loss")
    assert (point.value, point.step) == (0.5, 7)
    assert data_of(tracker, run).metrics["odd_name"] == 2


def test_more_metrics_than_one_request_takes(tracker: Tracker, run: Run) -> None:
    run.log_metrics({f"m{number}": number for number in range(1500)})
    assert len(data_of(tracker, run).metrics) == 1500


def test_last_logged_step_ignores_the_systems_samples(run: Run) -> None:
    assert run.last_logged_step() is None
    run.log_metrics({"loss": 1.0}, step=3)
    run.log_metrics({"system/cpu": 1.0}, step=900)
    assert run.last_logged_step() == 3


def test_dataset_is_recorded_once_with_its_whole_digest(tracker: Tracker, run: Run) -> None:
    for _ in range(2):
        run.log_dataset("train", "ab" * 32, "s3://bucket/data", context="training")
    (entry,) = tracker.client.get_run(run.run_id).inputs.dataset_inputs
    assert entry.dataset.name == "train"
    assert json.loads(entry.dataset.profile) == {"digest": "ab" * 32}
    assert json.loads(entry.dataset.source) == {"uri": "s3://bucket/data"}
    assert [(tag.key, tag.value) for tag in entry.tags] == [("mlflow.data.context", "training")]


def test_images_are_kept_by_name_and_step(tracker: Tracker, run: Run, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    run.log_image("samples/one", picture, step=5)
    paths = [entry.path for entry in tracker.client.list_artifacts(run.run_id, "images")]
    (path,) = [path for path in paths if path.endswith(".png")]
    assert "step+5" in path
    np.testing.assert_array_equal(np.asarray(Image.open(artifact(tracker, run, path, tmp_path))), picture)


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8)])
def test_images_of_other_kinds_are_refused(run: Run, image: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        run.log_image("x", image, 0)


def test_figures_texts_files_and_folders_become_artifacts(tracker: Tracker, run: Run, tmp_path: Path) -> None:
    figure = Figure()
    figure.add_subplot().plot([1, 2])
    run.log_figure(figure, "figures/loss.svg")
    run.log_text("héllo", "notes.txt")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.bin").write_bytes(b"\0\1")
    run.log_artifact(tmp_path / "folder" / "a.bin", "files")
    run.log_artifact(tmp_path / "folder", "folders")
    target = tmp_path / "back"
    target.mkdir()
    assert b"<svg" in artifact(tracker, run, "figures/loss.svg", target).read_bytes()
    assert artifact(tracker, run, "notes.txt", target).read_text(encoding="utf-8") == "héllo"
    assert artifact(tracker, run, "files/a.bin", target).read_bytes() == b"\0\1"
    assert artifact(tracker, run, "folders/a.bin", target).read_bytes() == b"\0\1"


def test_a_missing_file_is_the_callers_mistake(run: Run, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run.log_artifact(tmp_path / "missing")


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_leaving_a_run_records_how_it_ended(
    tracker: Tracker, run: Run, error: type[BaseException] | None, status: str
) -> None:
    if error is None:
        with run:
            pass
    else:
        with pytest.raises(error), run:
            raise error
    info = tracker.client.get_run(run.run_id).info
    assert info.status == status and info.end_time is not None


def test_what_the_store_refuses_for_good_raises(run: Run) -> None:
    with pytest.raises(Exception, match="name"):
        run.log_image("bad?name#", np.zeros((2, 2, 3), np.uint8), 0)
    assert run.num_lost_records == 0


def test_an_outage_costs_records_but_not_the_job(server: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = TrackingConfig(tracking_uri=server.uri, system_metrics=False)
    tracker = open_tracker(config, str(tmp_path))
    opened = tracker.open_run("outage", "name")
    run = Run(tracker.client, server.uri, opened.run_id, patience_s=0.1)
    server.kill()
    run.log_metrics({"loss": 1.0}, 1)
    run.finish()
    assert run.num_lost_records == 2
    assert "did not take the metrics" in caplog.text and "lacks 2 records" in caplog.text


class _Store:
    """A client whose server is away, and comes back."""

    def __init__(self) -> None:
        self.is_away = True
        self.num_asked = 0

    def log_text(self, run_id: str, text: str, path: str) -> None:
        self.num_asked += 1
        if self.is_away:
            raise ConnectionError("nobody answers")


def test_a_store_that_was_waited_for_in_vain_is_asked_once_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.tracking.run.backoff_s", lambda attempt: 0.01)
    store = _Store()
    run = Run(store, "http://nowhere", "run", patience_s=0.2)
    run.log_text("waited for", "a.txt")
    assert store.num_asked > 2
    for number in range(3):
        before = store.num_asked
        run.log_text("asked once", f"{number}.txt")
        assert store.num_asked == before + 1
    store.is_away = False
    run.log_text("arrives", "b.txt")
    store.is_away = True
    before = store.num_asked
    run.log_text("waited for again", "c.txt")
    assert store.num_asked > before + 2
    assert run.num_lost_records == 5


def test_a_locked_or_read_only_store_does_not_end_the_job(tracker: Tracker, output: Path) -> None:
    opened = tracker.open_run("key", "name")
    run = Run(tracker.client, tracker.tracking_uri, opened.run_id, patience_s=0.1)
    blocked = output / "mlflow-artifacts"
    blocked.mkdir(exist_ok=True)
    (blocked / opened.run_id).write_text("a file where a folder should be")
    run.log_text("hello", "a.txt")
    assert run.num_lost_records == 1


def test_the_main_run_samples_the_machine_and_goes_on_numbering(output: Path) -> None:
    config = TrackingConfig(system_metrics_interval_s=0.05)
    tracker = open_tracker(config, str(output))
    names = set()
    last = -1
    for _ in range(2):
        with tracker.open_run("key", "name") as run:
            child = tracker.open_run("key/child", "child", parent=run)
            time.sleep(0.4)
        history = tracker.client.get_metric_history(run.run_id, "system/cpu_utilization_percentage")
        steps = [point.step for point in history]
        assert steps == sorted(set(steps)) and steps[-1] > last
        last = steps[-1]
        names = set(data_of(tracker, run).metrics)
        assert not data_of(tracker, child).metrics
    assert {"system/system_memory_usage_percentage", "system/disk_usage_percentage"} <= names
