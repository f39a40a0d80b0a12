"""Errors as HTTP has them: `application/problem+json`, RFC 9457.

What a client may know of an error is decided here: messages of providers about the operator's key or address are for the
log, not for whoever asks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

from llmx.errors import (
    AuthenticationFailed,
    BudgetReached,
    FatalError,
    Interrupted,
    LlmxError,
    OutputFailed,
    QueueAway,
    RequestRejected,
    UnknownModel,
    UsageError,
)

__all__ = ["MEDIA_TYPE", "RETRY_LATER", "Problem", "problem_of"]

MEDIA_TYPE = "application/problem+json"

RETRY_LATER = 10.0
"""Seconds after which somebody who was told that a provider is down may ask again."""


class Problem(Exception):
    """An answer that is an error.

    Args:
        status: of HTTP.
        code: what programs tell it by, in snake_case.
        detail: what went wrong, for people; nothing that the client may not know.
        hint: what would mend it, "" for nothing.
        retry_after: seconds, None for no such header.
        headers: further ones.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        hint: str = "",
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.hint = hint
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))

    def document(self, request_id: str) -> dict[str, Any]:
        """The members of RFC 9457, and ours."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": str(self),
            "code": self.code,
            **({"hint": self.hint} if self.hint else {}),
            "request_id": request_id,
        }

    def response(self, request_id: str) -> Response:
        """The whole answer."""
        body = orjson.dumps(self.document(request_id))
        return Response(body, self.status, {**self.headers, "Content-Type": MEDIA_TYPE})


def problem_of(error: LlmxError) -> Problem:
    """What a client is told of an error that ended its request."""
    match error:
        case UsageError():
            return Problem(422, "invalid_request", str(error), hint=error.hint)
        case RequestRejected():
            return Problem(422, "rejected_by_provider", f"the provider refuses the request: {error}")
        case BudgetReached():
            return Problem(402, "budget_reached", str(error), hint=error.hint)
        case AuthenticationFailed():
            return Problem(502, "provider_refused", "the provider refuses the key of this service")
        case UnknownModel():
            return Problem(502, "provider_refused", "the provider does not know this model")
        case Interrupted():
            return Problem(503, "shutting_down", "the service is shutting down", retry_after=RETRY_LATER)
        case OutputFailed():
            return Problem(503, "storage_failed", "the service cannot write", retry_after=RETRY_LATER)
        case QueueAway():
            return Problem(503, "queue_away", "the service's queue is not there", retry_after=RETRY_LATER)
        case FatalError():
            return Problem(503, "provider_down", "the provider gives no answers now", retry_after=RETRY_LATER)
        case _:
            return Problem(500, error.type, "the service has failed")
