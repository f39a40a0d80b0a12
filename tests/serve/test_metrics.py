"""What Prometheus reads of a service."""

from __future__ import annotations

from pathlib import Path

from commands import Mock
from prometheus_client.parser import text_string_to_metric_families
from serving import Service, serving


def figures(service: Service) -> dict[str, float]:
    """The sums of all series, by name."""
    response = service.get("/metrics")
    assert response.status_code == 200
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(response.text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def test_rows_calls_and_requests_are_counted(tmp_path: Path, provider: Mock) -> None:
    """Those of requests and those of jobs, together."""
    with serving(tmp_path, provider.url) as service:
        assert service.extract("Ada", "Bob").status_code == 200
        assert service.ended(service.job(5)["id"])["state"] == "succeeded"
        told = figures(service)
    assert (told["llmx_rows_total"], told["llmx_calls_total"]) == (7, 7)
    assert told["llmx_http_requests_total"] >= 3
    assert told["llmx_shards_waiting"] == 0


def test_shards_that_wait_are_counted(tmp_path: Path, provider: Mock) -> None:
    """Where no worker takes them, they grow in number: the figure that a scaler goes by."""
    with serving(tmp_path, provider.url, "--shards", "0", config="shard-rows = 2") as service:
        service.job(5)
        assert figures(service)["llmx_shards_waiting"] == 3
