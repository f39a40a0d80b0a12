"""The application: routes and errors around a house, and the walls around all of it."""

from __future__ import annotations

import importlib
import importlib.util
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from llmx._version import __version__
from llmx.errors import LlmxError
from llmx.serve.house import House
from llmx.serve.openapi import described, methods_of
from llmx.serve.problems import Problem, problem_of
from llmx.serve.routes.extract import extract_routes
from llmx.serve.routes.jobs import jobs_routes
from llmx.serve.routes.offers import offer_routes
from llmx.serve.routes.operations import operation_routes
from llmx.serve.walls import Walls, request_id_of

__all__ = ["application"]

PAGES = "llmx.serve.pages"
"""Where the page at `/` is, if it is there."""


def application(house: House) -> FastAPI:
    """The service's application."""
    app = FastAPI(
        title="llmx",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # to the address that it sees itself under: http behind a proxy that speaks TLS
    )
    for routes in (extract_routes, jobs_routes, offer_routes, operation_routes):
        app.include_router(routes(house))
    if importlib.util.find_spec(PAGES) is not None:
        app.include_router(importlib.import_module(PAGES).router, include_in_schema=False)
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.add_middleware(
        Walls, open_to_all=lambda: not house.keys.required, clock=house.clock, count=house.told.answered
    )
    app.openapi = lambda: described(app)  # type: ignore[method-assign]  # FastAPI's own way to have another document
    return app


def _said(request: Request, problem: Problem) -> Response:
    return problem.response(request_id_of(request.scope))


async def _problem(request: Request, error: Any) -> Response:
    return _said(request, error)


async def _error(request: Request, error: Any) -> Response:
    return _said(request, problem_of(error))


async def _gone(request: Request, error: Any) -> Response:
    return _said(request, Problem(400, "incomplete_body", "the client went away"))


async def _refused(request: Request, error: Any) -> Response:
    """What the framework itself refuses: no such path, no such method."""
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "_")
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and (
        allowed := methods_of(request.app, request.url.path)
    ):
        headers["Allow"] = allowed  # the framework names those of one route only
    return _said(request, Problem(error.status_code, code, phrase.lower(), headers=headers))


async def _invalid(request: Request, error: Any) -> Response:
    """A parameter that cannot be read."""
    first = error.errors()[0]
    name = str(first["loc"][-1])
    text = f"{name}: {first['msg'][:1].lower()}{first['msg'][1:]}"
    return _said(request, Problem(422, "invalid_parameter", text))


_HANDLERS: dict[type[Exception], Any] = {
    Problem: _problem,
    LlmxError: _error,
    ClientDisconnect: _gone,
    HTTPException: _refused,
    RequestValidationError: _invalid,
}
