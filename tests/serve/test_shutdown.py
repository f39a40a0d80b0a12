"""The end of a service: what is in flight ends, shards are given back, and a second signal does not wait."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest
from commands import mocked, wait_for
from serving import Service, events, serving

from llmx.mock import Latency, MockSettings


def test_the_first_signal_lets_what_is_in_flight_end(tmp_path: Path) -> None:
    """No new work meanwhile; readiness says so; the exit code is 0."""
    with (
        mocked(MockSettings(latency=Latency.parse("2"))) as provider,
        serving(tmp_path / "s", provider.url) as service,
    ):
        answers = []
        thread = threading.Thread(target=lambda: answers.append(service.extract("Ada")))
        thread.start()
        wait_for(lambda: provider.server.stats()["in_flight"] == 1)
        service.signal(signal.SIGTERM)
        wait_for(lambda: "no new work" in service.log)
        assert service.get("/healthz").status_code == 200
        ready = service.get("/readyz")
        assert (ready.status_code, ready.json()["code"]) == (503, "shutting_down")
        refused = service.extract("Bob")
        assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
        thread.join(60)
        assert [answer.status_code for answer in answers] == [200]
        assert service.wait() == 0


def test_streams_end_and_shards_are_given_back(tmp_path: Path) -> None:
    """Whoever follows a job is let go; the next service goes on with it and pays for nothing twice."""
    folder = tmp_path / "s"
    with mocked(MockSettings(latency=Latency.parse("0.1"))) as provider:
        with serving(folder, provider.url, "-c", "4") as service:
            job = service.job(100)
            told: list[str] = []
            rows: list[str] = []
            readers = [
                threading.Thread(target=lambda: told.append(service.get(job["links"]["events"]).text)),
                threading.Thread(
                    target=lambda: rows.append(service.get(job["links"]["results"] + "?follow=true").text)
                ),
            ]
            for reader in readers:
                reader.start()
            wait_for(lambda: provider.calls >= 10)
            service.signal(signal.SIGTERM)
            assert service.wait() == 0
            for reader in readers:
                reader.join(60)
            assert all(name == "progress" for name, _, _ in events(told[0]))
            assert len(rows[0].splitlines()) < 100
        with serving(folder, provider.url) as again:
            assert again.ended(job["id"])["rows"]["ok"] == 100
        assert provider.calls <= 100 + 8  # what was in flight may be asked again


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_it_at_once(tmp_path: Path, number: int) -> None:
    """Whatever is in flight."""
    with (
        mocked(MockSettings(latency=Latency.parse("60"))) as provider,
        serving(tmp_path / "s", provider.url) as service,
    ):
        thread = threading.Thread(target=_lost, args=(service,))
        thread.start()
        wait_for(lambda: provider.server.stats()["in_flight"] == 1)
        service.signal(number)
        wait_for(lambda: "no new work" in service.log)
        began = time.monotonic()
        service.signal(number)
        assert service.wait() == 128 + number
        assert time.monotonic() - began < 20
        thread.join(60)
        assert "Traceback" not in service.log


def _lost(service: Service) -> None:
    import httpx2

    with pytest.raises(httpx2.HTTPError):
        service.extract("Ada")


def test_work_beyond_the_grace_is_cut(tmp_path: Path) -> None:
    """The service does not wait for ever."""
    with (
        mocked(MockSettings(latency=Latency.parse("60"))) as provider,
        serving(tmp_path / "s", provider.url, config='grace = "500ms"') as service,
    ):
        answers = []
        thread = threading.Thread(target=lambda: answers.append(service.extract("Ada")))
        thread.start()
        wait_for(lambda: provider.server.stats()["in_flight"] == 1)
        service.signal()
        assert service.wait() == 0
        thread.join(60)
        assert [answer.status_code for answer in answers] == [503]
        assert "Traceback" not in service.log
