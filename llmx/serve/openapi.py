"""The OpenAPI document: every status of every route, with examples.

Routes read their bodies and write their answers themselves, so what FastAPI would find out by signatures is said here, from
the same models that requests are checked by.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from llmx._version import __version__
from llmx.serve import documents
from llmx.serve.asking import ExtractRequest, JobRequest, JobWithRows
from llmx.serve.problems import MEDIA_TYPE
from llmx.serve.streamed import EVENTS

__all__ = [
    "ALWAYS",
    "WHY",
    "answer",
    "described",
    "json_body",
    "methods_of",
    "problems",
    "reference",
    "text_of",
]

SUMMARY = "Structured extraction with language models: rows in, validated objects out."

REQUESTS = (ExtractRequest, JobRequest, JobWithRows)

WHY = {
    400: ("invalid_json", "The body is no JSON, or a parameter cannot be read."),
    401: ("key_missing", "No key, or one that is unknown, revoked or expired."),
    402: ("budget_reached", "The key's budget does not suffice."),
    403: (
        "scope_missing",
        "The key lacks a scope or a model, or a page of another site asks a service without keys.",
    ),
    404: ("not_found", "There is nothing here for this key."),
    405: ("method_not_allowed", "Not by this method."),
    406: ("not_acceptable", "Not in a form that the client accepts."),
    408: ("too_slow", "The body came too slowly."),
    409: ("conflict", "Not in this state, or the idempotency key was used for another request."),
    413: ("too_large", "The body, or the number of rows, is beyond a limit."),
    415: ("unsupported_media_type", "The body is of another type."),
    422: ("invalid_field", "A field, a row or the schema is wrong."),
    429: ("too_many_requests", "More requests than the key may make."),
    431: ("head_too_large", "The address and the headers are too long."),
    500: ("internal_error", "A fault of the service."),
    502: ("provider_refused", "The provider refuses the service's key or model."),
    503: ("provider_down", "The provider, the queue or the service itself is not available now."),
    504: ("deadline", "It took longer than the service allows."),
}
"""Of every error status that is used: a code of it, and what it means."""

ALWAYS = (400, 401, 403, 405, 429, 431, 500, 503)
"""What any route that needs a key may answer; 503 where requests cannot be counted, for Redis is away."""


def reference(model: type[BaseModel]) -> dict[str, str]:
    """The schema of a model in the document."""
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Error statuses as FastAPI's `responses` has them."""
    return {status: _problem(status) for status in sorted(statuses)}


def _problem(status: int) -> dict[str, Any]:
    code, why = WHY[status]
    example = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": why,
        "code": code,
        "request_id": "req_5f2b8c1d9e0a4b6c7d8e9f01",
    }
    found: dict[str, Any] = {
        "description": why,
        "content": {MEDIA_TYPE: {"schema": reference(documents.ProblemDocument), "example": example}},
    }
    if status in (429, 503):
        found["headers"] = {
            "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}
        }
    return found


def answer(
    description: str,
    content: Mapping[str, Any] | type[BaseModel] | None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A good answer as FastAPI's `responses` has it.

    Args:
        content: a model of JSON, or examples of text by media type; None for no body.
        headers: their descriptions by name.
    """
    found: dict[str, Any] = {"description": description}
    if isinstance(content, Mapping):
        found["content"] = {kind: text_of(kind, example) for kind, example in content.items()}
    elif content is not None:
        found["content"] = {"application/json": {"schema": reference(content)}}
    if headers:
        found["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()
        }
    return found


def text_of(kind: str, example: str) -> dict[str, Any]:
    """How an answer that is text looks; one of events by OpenAPI 3.2's schema of a single one."""
    if kind == EVENTS:
        return {"itemSchema": _EVENT, "example": example}
    return {"schema": {"type": "string"}, "example": example}


_EVENT = {
    "type": "object",
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}, "id": {"type": "string"}},
}


def json_body(model: type[BaseModel], **others: Any) -> dict[str, Any]:
    """A request's body as `openapi_extra` has it; `others` are further media types."""
    content = {"application/json": {"schema": reference(model)}, **others}
    return {"requestBody": {"required": True, "content": content}}


def described(app: FastAPI) -> dict[str, Any]:
    """The whole document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title="llmx",
            version=__version__,
            summary=SUMMARY,
            description=_DESCRIPTION,
            routes=app.routes,
            tags=_TAGS,
        )
        components = made.setdefault("components", {})
        components["schemas"] = _schemas()
        for path in made["paths"].values():
            for operation in path.values():
                _plain(operation)
        app.openapi_schema = made
    return app.openapi_schema


def methods_of(app: FastAPI, path: str) -> str:
    """The methods of a path, as `Allow` lists them; "" for a path that is not in the document."""
    for template, operations in described(app)["paths"].items():
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template)), path):
            return ", ".join(sorted(method.upper() for method in operations))
    return ""


_DESCRIPTION = (
    "Errors are application/problem+json (RFC 9457) with a `code` for programs. Every answer has an X-Request-Id; "
    "a client's own is taken over."
)
_TAGS = [
    {"name": "extract", "description": "A few rows, now."},
    {"name": "jobs", "description": "Many rows, in the background."},
    {"name": "offers", "description": "What there is to choose from."},
    {"name": "operations", "description": "How the service is."},
]


def _schemas() -> dict[str, Any]:
    answers: Sequence[type[BaseModel]] = [
        model for name in documents.__all__ if isinstance(model := getattr(documents, name), type)
    ]
    _, asked = models_json_schema(
        [(model, "validation") for model in REQUESTS], ref_template="#/components/schemas/{model}"
    )
    _, told = models_json_schema(
        [(model, "serialization") for model in answers], ref_template="#/components/schemas/{model}"
    )
    schemas = {**asked.get("$defs", {}), **told["$defs"]}
    optional = {documents.Result: ("confidence", "evidence"), documents.ProblemDocument: ("hint",)}
    for model, names in optional.items():
        schema = schemas[model.__name__]
        schema["required"] = [name for name in schema["required"] if name not in names]
    return schemas


def _plain(operation: dict[str, Any]) -> None:
    """Without what FastAPI adds of its own: its validation, whose form is not ours, and JSON where an answer is text."""
    answers = operation.get("responses", {})
    if "422" in answers and MEDIA_TYPE not in answers["422"].get("content", {}):
        answers["422"] = _problem(422)
    for found in answers.values():
        content = found.get("content", {})
        if content.get("application/json") == {"schema": {}}:
            del content["application/json"]
            if not content:
                del found["content"]
