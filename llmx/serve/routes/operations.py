"""`/healthz`, `/readyz`, `/metrics`, `/openapi.json`: for whoever runs the service."""

# Annotations are no strings here: FastAPI evaluates those of functions within functions.

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from llmx.records import to_json
from llmx.serve.callers import caller
from llmx.serve.documents import Status
from llmx.serve.house import House
from llmx.serve.keys import Key
from llmx.serve.openapi import ALWAYS, answer, problems
from llmx.serve.problems import RETRY_LATER, Problem
from llmx.telemetry.metrics import CONTENT_TYPE

__all__ = ["operation_routes"]

_FIGURES = "text/plain"

MOST_WAITING = 10_000
"""Shards that are counted: more of them say no more."""


def operation_routes(house: House) -> APIRouter:
    """The router."""
    router = APIRouter(tags=["operations"])
    operator = caller(house, "admin", counted=False)

    @router.get(
        "/healthz",
        operation_id="health",
        summary="Whether the process lives",
        responses={200: answer("It does.", Status), **problems(400, 403, 405, 431, 500)},
    )
    async def health() -> Response:
        """Needs no key."""
        return _status("ok")

    @router.get(
        "/readyz",
        operation_id="readiness",
        summary="Whether it takes work",
        responses={200: answer("It does.", Status), **problems(400, 403, 405, 431, 500, 503)},
    )
    async def readiness() -> Response:
        """503 while it shuts down, or while its store cannot be written. Needs no key."""
        if house.drain.begun.is_set():
            raise Problem(503, "shutting_down", "the service is shutting down", retry_after=RETRY_LATER)
        if not await house.desk.store.ready():
            raise Problem(503, "store_away", "the store of jobs cannot be written", retry_after=RETRY_LATER)
        return _status("ready")

    @router.get(
        "/metrics",
        operation_id="metrics",
        summary="Figures for Prometheus",
        responses={
            200: answer("Its exposition format.", {_FIGURES: "llmx_rows_total 640.0\n"}),
            **problems(*ALWAYS),
        },
    )
    async def metrics(key: Annotated[Key, Depends(operator)]) -> Response:
        """With keys it needs the scope admin."""
        waiting = len(await house.desk.store.waiting(MOST_WAITING))
        return Response(house.told.exposition(waiting), media_type=CONTENT_TYPE)

    @router.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> Response:
        return Response(to_json(request.app.openapi()), media_type="application/json")

    return router


def _status(text: str) -> Response:
    return Response(to_json({"status": text}), media_type="application/json")
