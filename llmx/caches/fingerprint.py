"""What makes two requests the same question.

The fingerprint covers all that can change the answer: endpoint (base URL included), the whole body
(model, messages, schema on the wire, mode, parameters), the user's schema, the sample and the re-ask
number. Names count in their order, for that of a schema's fields decides what a model writes first. Output
caps are left out: raising one must not buy every answer again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from llmx.providers.forms import Filled, Form, without_caps
from llmx.records.values import to_json
from llmx.types import Request

__all__ = ["fingerprint", "fingerprinter", "rekeyed"]


VERSION = 2
"""What a fingerprint is made of; to change it buys every answer again. In 1, names were sorted."""


def fingerprint(
    endpoint: str, schema: str, body: Mapping[str, Any], *, sample: int = 0, reask: int = 0
) -> str:
    """The hex SHA-256 of one question.

    Args:
        endpoint: provider and base URL.
        schema: the fingerprint of the user's schema.
        body: the provider-shaped payload, its names in the order in which they are sent.
        sample: which of several answers, from 0.
        reask: how many re-asks led to it, from 0.
    """
    parts = [VERSION, endpoint, schema, sample, reask, without_caps(body)]
    return hashlib.sha256(to_json(parts)).hexdigest()


def fingerprinter(endpoint: str, schema: str) -> Callable[[Mapping[str, Any]], str]:
    """`fingerprint` of first requests: what their bodies have in common is hashed once."""
    head = to_json([VERSION, endpoint, schema, 0, 0])[:-1] + b","
    form: Form | None = None
    begun, rest = hashlib.sha256(), b""

    def of(body: Mapping[str, Any]) -> str:
        nonlocal form, begun, rest
        if not isinstance(body, Filled):
            return fingerprint(endpoint, schema, body)
        if body.form is not form:
            form = body.form
            before, after = form.question
            begun, rest = hashlib.sha256(head + before), after + b"]"
        digest = begun.copy()
        digest.update(body.text)
        digest.update(rest)
        return digest.hexdigest()

    return of


def rekeyed(schema: str) -> Callable[[Request], Request]:
    """A function that gives a request, changed by a re-ask, its own fingerprint."""

    def rekey(request: Request) -> Request:
        digest = fingerprint(
            request.endpoint, schema, request.body, sample=request.sample, reask=request.reask
        )
        return replace(request, fingerprint=digest)

    return rekey
