"""A job as its readers see it: the JSON document of the service's answers and of what webhooks tell."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from llmx.jobs.types import Job

__all__ = ["document"]


def document(job: Job) -> dict[str, Any]:
    """The job's document; costs are decimals as text, in US dollars, null when unknown; times are RFC 3339, UTC."""
    progress = job.progress
    settled, failed = progress.settled + job.unreadable, progress.failed + job.unreadable
    errors = dict(progress.errors)
    if job.unreadable:
        errors["unreadable_row"] = errors.get("unreadable_row", 0) + job.unreadable
    return {
        "id": job.id,
        "name": job.name,
        "owner": job.owner,
        "state": job.state,
        "reason": job.reason,
        "created": _time(job.created),
        "started": _time(job.started),
        "ended": _time(job.ended),
        "model": _model(job.options.get("model")),
        "schema": _schema(job.options.get("schema")),
        "options": {name: value for name, value in job.options.items() if name not in ("model", "schema")},
        "rows": {
            "total": job.rows,
            "settled": settled,
            "ok": settled - failed,
            "failed": failed,
            "cached": progress.cached,
            "unreadable": job.unreadable,
        },
        "shards": {"total": job.shards, "running": job.running, "done": job.done},
        "calls": progress.calls,
        "tokens": {"input": progress.input_tokens, "output": progress.output_tokens},
        "cost": progress.cost,
        "errors": errors,
        "version": job.version,
        "links": {name: f"/v1/jobs/{job.id}{path}" for name, path in _LINKS.items()},
    }


_LINKS = {"self": "", "results": "/results", "errors": "/errors", "events": "/events"}


def _time(moment: float | None) -> str | None:
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _model(given: Any) -> str | None:
    """As a chain is written; None for the operator's default."""
    return ", ".join(given) if isinstance(given, list) else given


def _schema(given: Any) -> str:
    """The schema's name or title."""
    return str(given.get("title") or "schema") if isinstance(given, Mapping) else str(given)
