from pipelines.serving.telemetry.counts import to_text
from pipelines.serving.telemetry.metrics import ServiceMetrics, service_metrics


def text_of(metrics: ServiceMetrics) -> list[str]:
    return to_text(metrics.counts()).splitlines()


def test_requests_are_counted_by_route_method_and_status() -> None:
    metrics = ServiceMetrics()
    metrics.request_began("/v1/models")
    metrics.request_began("/v1/models")
    metrics.request_done("/v1/models", "GET", 200, 0.02)
    metrics.request_ended("/v1/models")
    metrics.request_done("unknown", "BREW", 405, 0.001)
    text = text_of(metrics)
    assert 'rssr_requests_total{method="GET",route="/v1/models",status="200"} 1.0' in text
    assert 'rssr_requests_total{method="other",route="unknown",status="405"} 1.0' in text
    assert 'rssr_requests_in_flight{route="/v1/models"} 1.0' in text
    assert 'rssr_request_seconds_bucket{le="0.01",route="/v1/models"} 0.0' in text
    assert 'rssr_request_seconds_bucket{le="0.025",route="/v1/models"} 1.0' in text
    assert 'rssr_request_seconds_sum{route="/v1/models"} 0.02' in text


def test_everything_of_a_model_is_counted() -> None:
    metrics = ServiceMetrics()
    metrics.batch_ran("ldcsr", 3, 0.25)
    metrics.batch_ran("ldcsr", 1, 0.25)
    metrics.tiles_wait("ldcsr", 7)
    metrics.scene_done("ldcsr", 0.5, 1.25, 1.02)
    metrics.scene_done("ldcsr", 0.5, 0.0)
    metrics.memory_ran_out("ldcsr", 2)
    metrics.version_tried("ldcsr", "served")
    text = text_of(metrics)
    for line in (
        'rssr_tiles_total{model="ldcsr"} 4.0',
        'rssr_model_batch_size_count{model="ldcsr"} 2.0',
        'rssr_model_batch_size_sum{model="ldcsr"} 4.0',
        'rssr_model_seconds_sum{model="ldcsr"} 0.5',
        'rssr_model_queue_tiles{model="ldcsr"} 7.0',
        'rssr_megapixels_total{model="ldcsr"} 1.0',
        'rssr_area_km2_total{model="ldcsr"} 1.25',
        'rssr_seam_score_count{model="ldcsr"} 1.0',
        'rssr_seam_score_bucket{le="1.05",model="ldcsr"} 1.0',
        'rssr_oom_splits_total{model="ldcsr"} 2.0',
        'rssr_model_rollouts_total{model="ldcsr",outcome="served"} 1.0',
    ):
        assert line in text


def test_archives_of_a_state_that_has_none_go_away() -> None:
    metrics = ServiceMetrics()
    metrics.archives_are({"queued": 2, "running": 1})
    metrics.archives_are({"running": 2})
    metrics.archive_scenes_done("done", 3)
    text = text_of(metrics)
    assert [line for line in text if line.startswith("rssr_archives{")] == ['rssr_archives{state="running"} 2.0']
    assert 'rssr_archive_scenes_total{outcome="done"} 3.0' in text


def test_all_metrics_are_told_of_before_anything_happens() -> None:
    text = text_of(ServiceMetrics())
    names = {line.split()[2] for line in text if line.startswith("# TYPE")}
    assert names == {
        "rssr_requests_total",
        "rssr_request_seconds",
        "rssr_requests_in_flight",
        "rssr_model_seconds",
        "rssr_model_batch_size",
        "rssr_model_queue_tiles",
        "rssr_tiles_total",
        "rssr_megapixels_total",
        "rssr_area_km2_total",
        "rssr_oom_splits_total",
        "rssr_seam_score",
        "rssr_model_rollouts_total",
        "rssr_archives",
        "rssr_archive_scenes_total",
    }


def test_a_process_has_one() -> None:
    assert service_metrics() is service_metrics()
