"""A service that speaks the HTTP API and has no engine: what a job has done is a matter of a clock that tests move.

For what no real service does when it is told to: connections that drop, ten thousand jobs, rows that are attacks.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from llmx.serve.pages import router

__all__ = ["Plan", "StandIn"]

ENDED = ("succeeded", "failed", "stopped", "cancelled")

EPOCH = 1_800_000_000.0


def moment(seconds: float | None) -> str | None:
    """A time as the API writes it."""
    return (
        None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    )


def label(number: int) -> dict[str, Any]:
    """A row of the results."""
    text = f"Order {number} has not arrived in Zürich."
    return {"id": f"r{number}", "text": text, "label": ("late", "lost")[number % 2], "order": number}


@dataclass
class Plan:
    """A job: what it is, and how it goes.

    Args:
        rate: rows that end in a second.
        bad_every: of so many rows the last one fails; 0 for none.
        row: the number of a row in the upload -> the row as it is written.
        stops_at: rows after which it stops for want of money.
        more: members of the document that are to be other than usual.
    """

    total: int
    rate: float = 0.0
    bad_every: int = 0
    row: Callable[[int], Any] = label
    error: Callable[[int], dict[str, Any]] = lambda number: {
        "type": "invalid_answer",
        "message": "no such label",
        "raw": '{"label": 3}',
    }
    state: str = "queued"
    created: float = EPOCH
    started: float | None = None
    ended: float | None = None
    settled: int = 0
    stops_at: int | None = None
    options: dict[str, Any] = field(
        default_factory=lambda: {"schema": "label late|lost, order int", "evidence": True}
    )
    more: dict[str, Any] = field(default_factory=dict)
    version: int = 1
    id: str = ""

    def is_bad(self, number: int) -> bool:
        """Whether a row fails."""
        return self.bad_every > 0 and number % self.bad_every == self.bad_every - 1

    def bad_before(self, number: int) -> int:
        """How many of the first rows fail."""
        return number // self.bad_every if self.bad_every else 0

    def go(self, time: float, seconds: float) -> None:
        """Let time pass."""
        if self.state == "queued" and self.rate:
            self.state, self.started, self.version = "running", time, self.version + 1
        if self.state != "running":
            return
        before, limit = self.settled, self.total if self.stops_at is None else self.stops_at
        self.settled = min(limit, self.settled + int(self.rate * seconds))
        if self.settled == limit:
            self.ended = time
            self.state = "succeeded" if limit == self.total else "stopped"
        self.version += self.settled != before or self.state != "running"

    def document(self) -> dict[str, Any]:
        """As the API shows it."""
        failed = self.bad_before(self.settled)
        reason = "the budget of $1.00 is spent" if self.state == "stopped" else ""
        rows = {
            "total": self.total,
            "settled": self.settled,
            "ok": self.settled - failed,
            "failed": failed,
            "cached": 0,
            "unreadable": 0,
        }
        at = f"/v1/jobs/{self.id}"
        usual = {
            "id": self.id, "name": "", "owner": "", "state": self.state, "reason": reason,
            "created": moment(self.created), "started": moment(self.started), "ended": moment(self.ended),
            "model": "openai/gpt-5-mini", "schema": "label late|lost, order int", "options": self.options, "rows": rows,
            "shards": {"total": -(-self.total // 10_000), "running": int(self.state == "running"), "done": self.settled // 10_000},
            "calls": self.settled, "tokens": {"input": 180 * self.settled, "output": 24 * self.settled},
            "cost": f"{self.settled * 0.00004:.5f}", "errors": {"invalid_answer": failed} if failed else {}, "version": self.version,
            "links": {"self": at, "results": at + "/results", "errors": at + "/errors", "events": at + "/events"},
        }  # fmt: skip
        return {**usual, **self.more}

    def lines(self, kind: str, after: int) -> Iterator[bytes]:
        """Rows that have ended, one way or the other, but for the first ones."""
        skipped = 0
        for number in range(self._start(kind, after), self.settled):
            if self.is_bad(number) != (kind == "errors"):
                continue
            if (skipped := skipped + 1) <= self._over(kind, after):
                continue
            row = self.row(number)
            if kind == "errors":
                row = {**row, "_error": {"line": number + 1, "attempts": 2, **self.error(number)}}
            yield json.dumps(row, ensure_ascii=False).encode() + b"\n"

    def _start(self, kind: str, after: int) -> int:
        if kind == "errors":
            return after * self.bad_every
        return after + after // (self.bad_every - 1) if self.bad_every > 1 else after

    def _over(self, kind: str, after: int) -> int:
        return 0 if kind == "errors" or self.bad_every != 1 else after


def problem(status: int, code: str, detail: str, **more: Any) -> JSONResponse:
    """An error as RFC 9457 has it."""
    titles = {401: "Unauthorized", 404: "Not Found", 409: "Conflict", 422: "Unprocessable Content"}
    said = {
        "type": "about:blank",
        "title": titles.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": "r-1",
        **more,
    }
    return JSONResponse(said, status, media_type="application/problem+json")


class StandIn:
    """The service, in a thread of its own; a context manager.

    Args:
        keys: those that it takes; none for a service without keys.
    """

    def __init__(self, *keys: str) -> None:
        self.keys = set(keys)
        self.time = EPOCH
        self.jobs: dict[str, Plan] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        self.limits: dict[str, Any] = {"key": "", "rpm": None, "daily": {"tokens": None, "cost": None}}
        self.schemas: list[dict[str, Any]] = [
            {
                "name": "sentiment",
                "description": "What somebody thinks of something.",
                "json_schema": {
                    "type": "object",
                    "properties": {
                        "sentiment": {"enum": ["positive", "negative"]},
                        "confidence": {"type": "number"},
                    },
                },
            }
        ]
        self.models: list[dict[str, Any]] = [
            {"name": "openai/gpt-5-mini", "default": True, "input_price": "0.25", "output_price": "2"},
            {"name": "local", "default": False, "input_price": None, "output_price": None},
        ]
        self.events: Callable[[int, dict[str, Any]], list[tuple[str, dict[str, Any]]]] = answer
        self.refusal: JSONResponse | None = None
        self.keyed: dict[str, str] = {}
        self._drops = 0
        self._steps: threading.Semaphore | None = None
        self._changed: asyncio.Event | None = None
        self._port = 0
        self.app = self._application()

    # What tests do

    def add(self, plan: Plan, id: str = "") -> str:
        """A job more; its id."""
        plan.id = id or f"job_{len(self.jobs):026d}"
        self.jobs[plan.id] = plan
        return plan.id

    def advance(self, seconds: float) -> None:
        """Let time pass for every job, and tell whoever listens."""
        self.time += seconds
        for plan in self.jobs.values():
            plan.go(self.time, seconds)
        self._notify()

    def drop(self) -> None:
        """Break every stream that is open."""
        self._drops += 1
        self._notify()

    def hold(self) -> None:
        """Let each event of an extraction wait for `step`."""
        self._steps = threading.Semaphore(0)

    def step(self, number: int = 1) -> None:
        """Let so many events go."""
        assert self._steps is not None
        self._steps.release(number)

    def requests(self, method: str, path: str) -> list[dict[str, str]]:
        """The headers of requests that were made."""
        return [headers for asked, where, headers in self.asked if (asked, where) == (method, path)]

    @property
    def url(self) -> str:
        """Of the page."""
        return f"http://127.0.0.1:{self._port}/"

    def start(self) -> None:
        """Answer, at the same port as before."""
        listener = socket.create_server(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(self.app, log_level="critical", timeout_graceful_shutdown=0, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.should_exit = True
        self.drop()
        self._thread.join()
        self._changed = None

    def __enter__(self) -> StandIn:
        """Begin to answer."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self.stop()

    # The service

    def _notify(self) -> None:
        event, loop = self._changed, getattr(self, "_loop", None)
        if event is not None and loop is not None:

            def wake() -> None:
                self._changed = asyncio.Event()
                event.set()

            loop.call_soon_threadsafe(wake)

    async def _news(self) -> None:
        if self._changed is None:
            self._changed, self._loop = asyncio.Event(), asyncio.get_running_loop()
        await self._changed.wait()

    def _application(self) -> FastAPI:
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        app.include_router(router)
        app.middleware("http")(self._admit)
        app.get("/v1/jobs")(self._list)
        app.post("/v1/jobs")(self._submit)
        app.get("/v1/jobs/{id}")(self._job)
        app.delete("/v1/jobs/{id}")(self._delete)
        app.post("/v1/jobs/{id}/resume")(self._resume)
        app.get("/v1/jobs/{id}/results")(self._results)
        app.get("/v1/jobs/{id}/errors")(self._errors)
        app.get("/v1/jobs/{id}/events")(self._events)
        app.get("/v1/schemas")(lambda: {"schemas": self.schemas})
        app.get("/v1/models")(lambda: {"models": self.models})
        app.get("/v1/limits")(lambda: self.limits)
        app.post("/v1/extract")(self._extract)
        return app

    async def _admit(self, request: Request, go: Callable[[Request], Any]) -> Response:
        self.asked.append((request.method, request.url.path, dict(request.headers)))
        given = request.headers.get("Authorization", "")
        if (
            request.url.path.startswith("/v1/")
            and self.keys
            and given.removeprefix("Bearer ") not in self.keys
        ):
            return problem(401, "unknown_key", "no such key", hint="llmx keys create NAME")
        if self.refusal is not None and request.url.path.startswith("/v1/") and request.method == "POST":
            return self.refusal
        response: Response = await go(request)
        return response

    def _list(self, state: str = "", limit: int = 100, before: str = "") -> dict[str, Any]:
        found = [
            plan
            for id, plan in sorted(self.jobs.items(), reverse=True)
            if (not before or id < before) and (not state or plan.state == state)
        ]
        return {
            "jobs": [plan.document() for plan in found[:limit]],
            "next": found[limit - 1].id if len(found) > limit else None,
        }

    async def _job(self, id: str) -> Any:
        plan = self.jobs.get(id)
        return plan.document() if plan else problem(404, "no_such_job", f"no job {id!r}")

    async def _delete(self, id: str, forget: bool = False) -> Any:
        plan = self.jobs.get(id)
        if plan is None:
            return problem(404, "no_such_job", f"no job {id!r}")
        if forget:
            if plan.state not in ENDED:
                return problem(409, "not_ended", "the job has not ended", hint="cancel it first")
            del self.jobs[id]
            return Response(status_code=204)
        if plan.state not in ENDED:
            plan.state, plan.ended, plan.version = "cancelled", self.time, plan.version + 1
            self._wake()
        return plan.document()

    async def _resume(self, id: str) -> Any:
        plan = self.jobs[id]
        if plan.state != "stopped":
            return problem(409, "not_stopped", "only a job that was stopped can be resumed")
        plan.state, plan.ended, plan.stops_at, plan.version = "running", None, None, plan.version + 1
        return JSONResponse(plan.document(), 202)

    def _wake(self) -> None:
        if self._changed is not None:
            event, self._changed = self._changed, asyncio.Event()
            event.set()

    async def _results(self, id: str, after: int = 0, format: str = "jsonl") -> Any:
        return await self._lines(id, "results", after, format)

    async def _errors(self, id: str, after: int = 0, format: str = "jsonl") -> Any:
        return await self._lines(id, "errors", after, format)

    async def _lines(self, id: str, kind: str, after: int, format: str) -> Any:
        plan = self.jobs.get(id)
        if plan is None:
            return problem(404, "no_such_job", f"no job {id!r}")

        async def batches() -> AsyncIterator[bytes]:
            batch: list[bytes] = []
            for line in plan.lines(kind, after):
                batch.append(line)
                if len(batch) == 500:
                    yield b"".join(batch)
                    batch = []
            yield b"".join(batch)

        if format == "csv":
            text = io.StringIO()
            rows = [json.loads(line) for line in plan.lines(kind, after)]
            writer = csv.DictWriter(text, list(rows[0]) if rows else [])
            writer.writeheader()
            writer.writerows(rows)
            return Response(text.getvalue(), media_type="text/csv")
        return StreamingResponse(batches(), media_type="application/x-ndjson")

    async def _events(self, request: Request, id: str) -> Any:
        plan = self.jobs.get(id)
        if plan is None:
            return problem(404, "no_such_job", f"no job {id!r}")
        return StreamingResponse(
            self._snapshots(plan, int(request.headers.get("Last-Event-ID", 0))),
            media_type="text/event-stream",
        )

    async def _snapshots(self, plan: Plan, last: int) -> AsyncIterator[str]:
        drops = self._drops
        yield ": ping\n\n"
        while True:
            if drops != self._drops:
                raise ConnectionError("as told")
            if plan.version > last or plan.state in ENDED:
                last = plan.version
                name = "end" if plan.state in ENDED else "progress"
                yield f"event: {name}\nid: {last}\ndata: {json.dumps(plan.document())}\n\n"
                if name == "end":
                    return
            await self._news()

    async def _submit(self, request: Request) -> Any:
        idempotency = request.headers.get("Idempotency-Key", "")
        if idempotency and idempotency in self.keyed:
            return JSONResponse(
                self.jobs[self.keyed[idempotency]].document(), 202, {"Idempotent-Replay": "true"}
            )
        async with request.form() as form:
            asked = json.loads(await form["request"].read())  # type: ignore[union-attr]
            data = await form["file"].read()  # type: ignore[union-attr]
        self.bodies += [json.dumps(asked).encode(), data]
        lines = [line for line in data.decode().split("\n") if line.strip()]
        rows = (
            [json.loads(line) for line in lines]
            if lines[0].startswith("{")
            else list(csv.DictReader(io.StringIO(data.decode())))
        )
        plan = Plan(
            len(rows), rate=1, row=lambda number: {**rows[number], "label": "late"}, created=self.time
        )
        plan.more = {"name": asked.get("name", ""), "model": asked.get("model", "")}
        id = self.add(plan)
        self.keyed[idempotency] = id
        return JSONResponse(plan.document(), 202, {"Location": f"/v1/jobs/{id}"})

    async def _extract(self, request: Request) -> Any:
        body = await request.body()
        self.bodies.append(body)
        asked = json.loads(body)
        if asked["schema"] == "nonsense":
            return problem(422, "bad_schema", "unknown type 'nonsense' of a field", hint="llmx schema list")
        return StreamingResponse(self._answers(request, asked), media_type="text/event-stream")

    async def _answers(self, request: Request, asked: dict[str, Any]) -> AsyncIterator[str]:
        for row, data in enumerate(asked["rows"]):
            for name, said in self.events(row, data):
                while self._steps is not None and not self._steps.acquire(blocking=False):
                    if await request.is_disconnected():
                        self.asked.append(("GONE", request.url.path, {}))
                        return
                    await asyncio.sleep(0.01)
                yield f"event: {name}\r\ndata: {json.dumps({'row': row, **said})}\r\n\r\n"
        yield 'event: usage\ndata: {"input_tokens": 600, "output_tokens": 90, "cached_tokens": 0, "cost": "0.00033"}\n\n'
        yield "event: done\ndata: {}\n\n"


def answer(row: int, data: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What an extraction streams of one row."""
    value = {"label": "late", "stars": row + 1, "topics": ["parcel", "delay"]}
    usage = {"input_tokens": 200, "output_tokens": 30, "cached_tokens": 0, "cost": "0.00011"}
    words = re.findall(r"\w+", str(next(iter(data.values()), "")))
    evidence = {
        "label": {
            "quote": words[0] if words else "",
            "column": "text",
            "start": 0,
            "end": 5,
            "match": "exact",
        }
    }
    whole = {
        "value": value,
        "error": None,
        "evidence": evidence,
        "source": "model",
        "model": "m",
        "attempts": 1,
        "seconds": 0.42,
        "usage": usage,
    }
    fields = [("field", {"path": path, "value": found}) for path, found in value.items()]
    return [*fields, ("object", whole)]
