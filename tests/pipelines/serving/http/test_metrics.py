from fastapi import FastAPI

from pipelines.serving.http.errors import install_errors
from pipelines.serving.http.metrics import metrics_routes
from pipelines.serving.telemetry.counts import to_text
from pipelines.serving.telemetry.metrics import ServiceMetrics
from tests.pipelines.serving.http.live import live


def make_app(available: bool) -> FastAPI:
    async def collect() -> str:
        if not available:
            raise TimeoutError("the others do not answer")
        return to_text(ServiceMetrics().counts())

    app = FastAPI()
    app.include_router(metrics_routes(collect))
    install_errors(app)
    return app


def test_counts_come_as_prometheus_reads_them() -> None:
    with live(make_app(available=True)) as server:
        answer = server.ask("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"# TYPE rssr_requests_total counter\n" in answer.body


def test_sums_that_would_fall_are_not_told() -> None:
    with live(make_app(available=False)) as server:
        answer = server.ask("GET", "/metrics")
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
