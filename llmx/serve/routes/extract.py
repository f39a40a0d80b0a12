"""`POST /v1/extract`."""

# Annotations are no strings here: FastAPI evaluates those of functions within functions.

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from llmx.records import to_json
from llmx.serve.asking import ExtractRequest, checked
from llmx.serve.bodies import Reading, read_json
from llmx.serve.callers import caller
from llmx.serve.documents import Answer
from llmx.serve.extracting import Extraction, answered, checked_extraction, opened
from llmx.serve.house import House
from llmx.serve.keys import Key
from llmx.serve.openapi import ALWAYS, answer, json_body, problems, text_of
from llmx.serve.problems import Problem
from llmx.serve.streamed import EVENTS, Emit, Streamed, event, events, while_connected
from llmx.serve.streams import stream_extraction
from llmx.serve.walls import request_id_of

__all__ = ["accepts", "extract_routes"]

_STREAM = b"".join(
    [
        event("field", {"row": 0, "path": "name", "value": "Ada Lovelace"}),
        event("object", {"row": 0, "value": {"name": "Ada Lovelace"}, "error": None, "source": "model"}),
        event("usage", {"input_tokens": 210, "output_tokens": 18, "cached_tokens": 0, "cost": "0.000123"}),
        event("done", {}),
    ]
).decode()


def extract_routes(house: House) -> APIRouter:
    """The router."""
    router = APIRouter(tags=["extract"])
    may_extract = caller(house, "extract")
    reading = Reading(house.settings.max_body, house.settings.body_timeout, "body")
    good = answer("The results, in the order of the rows; one whose row failed has an error.", Answer)
    good["content"][EVENTS] = text_of(EVENTS, _STREAM)

    @router.post(
        "/v1/extract",
        operation_id="extract",
        summary="Extract from a few rows now",
        responses={200: good, **problems(*ALWAYS, 402, 406, 408, 413, 415, 422, 502, 504)},
        openapi_extra=json_body(ExtractRequest),
    )
    async def extract(request: Request, key: Annotated[Key, Depends(may_extract)]) -> Response:
        """One object per row. With `Accept: text/event-stream` each field comes as soon as it is there: events
        `field`, `restart` (what came of the row before does not hold), `object`, `usage`, `error` (ends it), `done`."""
        kind = accepts(request, "application/json", EVENTS)
        ask = checked(ExtractRequest, await read_json(request, reading))
        extraction = checked_extraction(house, request_id_of(request.scope), key, ask)
        with house.drain.working():
            if kind == EVENTS:
                await while_connected(request.receive, opened(house, extraction))
                return Streamed(events(lambda emit: _held(house, extraction, emit)), EVENTS)
            try:
                found = await while_connected(request.receive, answered(house, extraction))
            except ClientDisconnect:
                return Response(status_code=400)  # nobody reads it
            return Response(to_json(found), media_type="application/json")

    return router


async def _held(house: House, extraction: Extraction, emit: Emit) -> None:
    """The stream, waited for while the service shuts down."""
    with house.drain.streaming():
        await stream_extraction(house, extraction, emit)


def accepts(request: Request, *kinds: str) -> str:
    """The first of some media types that the client takes; a stream only where it is asked for by name.

    Raises:
        Problem: it takes none.
    """
    taken = [_range(text) for text in request.headers.get("accept", "*/*").split(",")]
    wanted = [name for name, quality in taken if quality > 0]
    if EVENTS in kinds and EVENTS in wanted:
        return EVENTS
    for kind in kinds:
        if kind != EVENTS and any(name in (kind, "*/*", f"{kind.partition('/')[0]}/*") for name in wanted):
            return kind
    if kinds == (EVENTS,) and any(name in ("*/*", "text/*") for name in wanted):
        return EVENTS
    raise Problem(406, "not_acceptable", f"the answer is {' or '.join(kinds)}")


def _range(text: str) -> tuple[str, float]:
    """A media range and its quality (RFC 9110, section 12.5.1)."""
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
    try:
        return name, float(quality)
    except ValueError:
        return name, 1.0
