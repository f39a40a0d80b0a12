"""Requests that no answer can come of, because they are longer than the model's context."""

from __future__ import annotations

import re
from collections.abc import Callable

from llmx.errors import RowTooLong
from llmx.types import Completion, Handler, Layer, Request

__all__ = ["check_fit", "fitting"]

BYTES_PER_TOKEN = 6.0
"""Above what tokenizers make of text on average (about 4.5 in English, less elsewhere): only what is surely too long is
held back, the rest is for the server to judge, which refuses without charge."""

_BLANKS = re.compile(r"\s+")


SHORT = 16_384
"""Characters that fit every model there is."""


def fitting(context: Callable[[], int | None]) -> Layer:
    """A layer that raises RowTooLong for a row that cannot fit.

    Args:
        context: tokens that prompt and answer may have together, None when not known; asked for long rows only.
    """

    def layer(handler: Handler) -> Handler:
        async def call(request: Request) -> Completion:
            check_fit(request, context)
            return await handler(request)

        return call

    return layer


def check_fit(request: Request, context: Callable[[], int | None]) -> None:
    """Raise RowTooLong for a row that cannot fit. `context` is as `fitting` has it."""
    if len(request.row) > SHORT:
        _check(request, context())


def _least(text: str) -> float:
    """Tokens that a text has at least, on average."""
    return len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN


def _check(request: Request, context: int | None) -> None:
    if (
        context is None or _least(request.row) <= context
    ):  # as it is of almost all; looking for blanks takes long
        return
    # Tokenizers make one token of a long run of blanks.
    least = _least(_BLANKS.sub(" ", request.row))
    if least > context:
        raise RowTooLong(
            f"the row has at least {least:,.0f} tokens, more than the {context:,} of {request.model}'s context",
            hint="show the model fewer columns with --input, or split the row",
        )
