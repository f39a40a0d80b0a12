"""What a key may ask and spend, by the service and by its jobs, over restarts, and after it was revoked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Mock, mocked
from serving import llmx, serving, variables

from llmx.mock import MockSettings
from llmx.mock.settings import Latency


@pytest.fixture
def provider() -> Iterator[Mock]:
    with mocked(MockSettings(latency=Latency(0.02, 0.02))) as mock:
        yield mock


def limited(*options: str) -> dict[str, object]:
    return {"scopes": "extract,jobs,admin", "key_options": options}


def test_a_day_of_tokens_holds_over_a_restart(tmp_path: Path, provider: Mock) -> None:
    """What was used before counts; when nothing is left, a request is refused before anybody is called."""
    options = limited("--daily-tokens", "3000")
    with serving(tmp_path, provider.url, "--max-output-tokens", "200", **options) as service:  # type: ignore[arg-type]  # options of `serving`
        assert 200 == service.extract("Ada").status_code
        tokens = service.get("/v1/limits").json()["daily"]["tokens"]
        assert 3000 == tokens["limit"] == tokens["spent"] + tokens["held"] + tokens["left"]
        service.signal()
        service.wait()
        key = service.key
    again = serving(tmp_path, provider.url, "--max-output-tokens", "200")
    with again as service:
        service.key = key
        service.client.headers.update(service.headers)
        used = provider.server.stats()
        spent = used["input_tokens"] + used["output_tokens"]
        assert spent == service.get("/v1/limits").json()["daily"]["tokens"]["spent"]
        answers = [service.extract(f"Somebody else {number}") for number in range(25)]
        assert 200 == answers[0].status_code
        assert 402 == answers[-1].status_code
        assert "budget_reached" == answers[-1].json()["code"]
        used = provider.server.stats()
        assert used["input_tokens"] + used["output_tokens"] <= 3000


def test_a_job_that_does_not_fit_is_refused(tmp_path: Path, provider: Mock) -> None:
    """By its estimate, with 402, and nothing is kept of it."""
    with serving(tmp_path, provider.url, **limited("--daily-tokens", "20000")) as service:  # type: ignore[arg-type]  # options of `serving`
        rows = [{"text": f"Row {number} is Ada"} for number in range(1_000)]
        refused = service.post("/v1/jobs", {"schema": "name, age int", "rows": rows})
        assert 402 == refused.status_code, refused.text
        assert "budget_reached" == refused.json()["code"]
        assert [] == service.get("/v1/jobs").json()["jobs"]
        assert "succeeded" == service.ended(service.job(10)["id"])["state"]


def test_a_job_stops_at_its_keys_budget(tmp_path: Path, provider: Mock) -> None:
    """Two jobs fit, each by itself: not one token above the budget is used, and the reason of the end is told."""
    options = limited("--daily-tokens", "6000")
    with serving(tmp_path, provider.url, "--max-output-tokens", "400", **options) as service:  # type: ignore[arg-type]  # options of `serving`
        jobs = [service.job([{"text": f"Row {n} of {job} is Ada"} for n in range(25)]) for job in "ab"]
        ended = [service.ended(job["id"]) for job in jobs]
        stopped = [job for job in ended if job["state"] == "stopped"]
        assert stopped
        assert "tester" in stopped[0]["reason"]
        used = provider.server.stats()
        assert 3000 < used["input_tokens"] + used["output_tokens"] <= 6000


def test_jobs_of_a_revoked_key_stop(tmp_path: Path, provider: Mock) -> None:
    """What begins after that may use nothing."""
    with serving(tmp_path, provider.url, "--shards", "1", "-c", "1", **limited()) as service:  # type: ignore[arg-type]  # options of `serving`
        other = llmx("keys", "create", "other", "--data", "data", env=variables(tmp_path), cwd=tmp_path)
        key, service.client.headers["Authorization"] = service.key, f"Bearer {other.stdout.strip()}"
        first, second = service.job(100), service.job([{"text": "Somebody else"}])
        assert (
            0
            == llmx(
                "keys", "revoke", "other", "--data", "data", env=variables(tmp_path), cwd=tmp_path
            ).returncode
        )
        assert 401 == service.get("/v1/jobs").status_code
        service.client.headers["Authorization"] = f"Bearer {key}"
        assert "stopped" == service.ended(second["id"])["state"]
        service.ended(first["id"])


def test_all_requests_share_the_accounts_rate(tmp_path: Path, provider: Mock) -> None:
    """Requests of different schemas, which have engines of their own, and a job keep to --rpm together."""
    with serving(tmp_path, provider.url, "--rpm", "300") as service:
        service.job(40)
        for number in range(4):
            assert 200 == service.extract("Ada", schema=f"name, field{number}").status_code
    assert provider.server.stats()["busiest_1s_calls"] <= 8
