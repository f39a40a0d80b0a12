"""What makes two requests the same question.

The fingerprint covers all that can change the answer: endpoint (base URL included), the whole body
(model, messages, schema on the wire, mode, parameters), the user's schema, the sample and the re-ask
number. Output caps are left out: raising one must not buy every answer again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from llmx.providers.codec import CAPS
from llmx.records.values import to_json
from llmx.types import Request

__all__ = ["fingerprint", "rekeyed"]


def fingerprint(
    endpoint: str, schema: str, body: Mapping[str, Any], *, sample: int = 0, reask: int = 0
) -> str:
    """The hex SHA-256 of one question.

    Args:
        endpoint: provider and base URL.
        schema: the fingerprint of the user's schema.
        body: the provider-shaped payload; the order of its keys does not matter.
        sample: which of several answers, from 0.
        reask: how many re-asks led to it, from 0.
    """
    question = {name: value for name, value in body.items() if name not in CAPS}
    parts = [endpoint, schema, sample, reask, question]
    return hashlib.sha256(to_json(parts, sort_keys=True)).hexdigest()


def rekeyed(schema: str) -> Callable[[Request], Request]:
    """A function that gives a request, changed by a re-ask, its own fingerprint."""

    def rekey(request: Request) -> Request:
        digest = fingerprint(
            request.endpoint, schema, request.body, sample=request.sample, reask=request.reask
        )
        return replace(request, fingerprint=digest)

    return rekey
