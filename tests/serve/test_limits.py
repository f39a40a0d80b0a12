"""Limits of keys, as clients meet them."""

from __future__ import annotations

from pathlib import Path

from commands import Mock
from serving import ASK, serving


def test_more_requests_than_a_key_may_make_are_refused(tmp_path: Path, provider: Mock) -> None:
    """429, when to come back, and in every answer where the key stands."""
    key = ("--rpm", "3")
    with serving(tmp_path / "s", provider.url, scopes="extract,jobs", key_options=key) as service:
        answers = [service.get("/v1/models") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert all('"minute"' in answer.headers["RateLimit"] for answer in answers)
        assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
        assert answers[-1].headers["Content-Type"] == "application/problem+json"
        assert service.get("/healthz").status_code == 200


def test_what_does_not_fit_into_a_day_is_refused(tmp_path: Path, provider: Mock) -> None:
    """402 for a call and for a job by its estimate; what was spent is told, and outlives a restart."""
    folder, key = tmp_path / "s", ("--daily-tokens", "20000")
    with serving(folder, provider.url, scopes="extract,jobs", key_options=key) as service:
        assert service.extract("Ada").status_code == 200
        rows = {**ASK, "rows": [{"text": f"Row {n} is Ada"} for n in range(500)]}
        refused = service.post("/v1/jobs", rows)
        assert (refused.status_code, refused.json()["code"]) == (402, "budget_reached")
        wanted = service.extract("Bob", max_output_tokens=30_000)
        assert (wanted.status_code, wanted.json()["code"]) == (402, "budget_reached")
        assert service.get("/v1/limits").json()["daily"]["tokens"]["limit"] == 20_000
        secret = service.key
        service.signal()
        assert service.wait() == 0
    with serving(folder, provider.url) as again:
        standing = again.get("/v1/limits", headers={"Authorization": f"Bearer {secret}"}).json()
        assert 0 < standing["daily"]["tokens"]["spent"] < 20_000
        assert standing["key"] == "tester"
