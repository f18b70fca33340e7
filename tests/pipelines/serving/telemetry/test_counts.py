from prometheus_client.parser import text_string_to_metric_families

from pipelines.serving.telemetry.counts import CountsOfAll, add_up, to_text
from pipelines.serving.telemetry.metrics import ServiceMetrics


def metrics_with(num_tiles: int, num_waiting: int, seconds: float = 2.0) -> ServiceMetrics:
    metrics = ServiceMetrics()
    metrics.batch_ran("bicubic", num_tiles, seconds)
    metrics.tiles_wait("bicubic", num_waiting)
    return metrics


def value(text: str, name: str, **labels: str) -> float | None:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


def test_processes_are_added_up_exactly() -> None:
    text = to_text(add_up([metrics_with(2, 1).counts(), metrics_with(3, 5, 0.03).counts()]))
    assert value(text, "rssr_tiles_total", model="bicubic") == 5
    assert value(text, "rssr_model_queue_tiles", model="bicubic") == 6
    assert value(text, "rssr_model_seconds_sum", model="bicubic") == 2.03
    assert value(text, "rssr_model_seconds_bucket", model="bicubic", le="0.05") == 1
    assert value(text, "rssr_model_seconds_bucket", model="bicubic", le="+Inf") == 2


def test_labels_may_hold_anything() -> None:
    metrics = ServiceMetrics()
    metrics.batch_ran('a "quoted"\nname\\', 1, 0.1)
    text = to_text(metrics.counts())
    assert value(text, "rssr_tiles_total", model='a "quoted"\nname\\') == 1


def test_what_a_process_did_outlives_it_and_what_it_was_doing_does_not() -> None:
    now = [0.0]
    everything = CountsOfAll(lambda: now[0], lost_after_s=20)
    everything.receive("one", metrics_with(2, 4).counts())
    now[0] = 30
    everything.receive("other", metrics_with(3, 1).counts())
    text = to_text(everything.total())
    assert value(text, "rssr_tiles_total", model="bicubic") == 5
    assert value(text, "rssr_model_queue_tiles", model="bicubic") == 1


def test_a_process_that_was_silent_is_not_counted_twice() -> None:
    now = [0.0]
    everything = CountsOfAll(lambda: now[0], lost_after_s=20)
    one = metrics_with(2, 4)
    everything.receive("one", one.counts())
    now[0] = 30
    one.batch_ran("bicubic", 1, 0.1)
    everything.receive("one", one.counts())
    assert value(to_text(everything.total()), "rssr_tiles_total", model="bicubic") == 3


def test_sums_never_fall_however_many_processes_come_and_go() -> None:
    now = [0.0]
    everything = CountsOfAll(lambda: now[0], lost_after_s=20)
    for number in range(50):
        now[0] = 600.0 * number
        everything.receive(f"process {number}", metrics_with(1, 1).counts())
        assert value(to_text(everything.total()), "rssr_tiles_total", model="bicubic") == number + 1
    assert everything.num_processes < 10
