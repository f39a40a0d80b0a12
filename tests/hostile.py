"""A scripted provider beside commands: in a thread of this process, and saying what no provider should."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from commands import PATIENCE
from scripted import Received, Reply, Scripted, chat, message

__all__ = ["REPLIES", "answering", "key_in", "scripted"]


@contextmanager
def scripted() -> Iterator[Scripted]:
    """A scripted server for as long as the context lasts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="scripted")
    thread.start()

    def do(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(PATIENCE)

    context = Scripted.listening()
    try:
        server = do(context.__aenter__())
        try:
            yield server
        finally:
            do(context.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def key_in(request: Received) -> str:
    """The key that came with a request."""
    return request.headers.get("authorization", request.headers.get("x-api-key", "")).removeprefix("Bearer ")


def answering(request: Received, text: str, **more: Any) -> Reply:
    """A completion in the format that was asked in."""
    if request.path.endswith("/messages"):
        return Reply(message({"type": "text", "text": text}, **more))
    return Reply(chat(text, **more))


def _error(status: int, words: Callable[[Received], str], **fields: str) -> Callable[[Received], Reply]:
    return lambda request: Reply({"error": {"message": words(request), **fields}}, status)


def _authorization(request: Received) -> str:
    return f"bad header authorization: Bearer {key_in(request)}; x-api-key: {key_in(request)}"


def _everything(request: Received) -> str:
    return f"{request.headers} {orjson.dumps(request.body).decode()}"


def _shouted(request: Received) -> str:
    return f"no such key: {key_in(request).upper()}"


REPLIES: dict[str, Callable[[Received], Reply]] = {
    "answer": lambda request: answering(request, '{"name": "Ann"}'),
    "answer that repeats the request": lambda request: answering(
        request, '{"name": "Ann"}', request={"headers": request.headers}
    ),
    "answer that holds the key": lambda request: answering(request, f'{{"name": "{key_in(request)}"}}'),
    "invalid answers that hold the key": lambda request: answering(
        request, f'{{"nome": "{key_in(request)}"}}'
    ),
    "400 that repeats the header": _error(400, _authorization),
    "400 that repeats everything": _error(400, _everything),
    "401 that repeats the key": _error(401, key_in, code="invalid_api_key"),
    "401 in other letters": _error(401, _shouted),
    "403": _error(403, _authorization, param="key"),
    "404": _error(404, _authorization),
    "429": _error(429, _authorization, code="insufficient_quota"),
    "500": _error(500, _authorization),
    "an error in a 200": _error(200, _authorization, code="invalid_api_key"),
    "a page": lambda request: Reply(
        f"<html><title>{key_in(request)}</title></html>".encode(), 502, {"content-type": "text/html"}
    ),
    "no JSON": lambda request: Reply(_everything(request).encode()),
    "a redirect": lambda request: Reply(
        {}, 307, {"location": f"http://127.0.0.1:9/{key_in(request)}?key={key_in(request)}"}
    ),
    "a reset": lambda request: Reply({}, cut=0),
    "half an answer": lambda request: Reply(chat(key_in(request)), cut=300),
}
"""What a provider may answer, by what it is."""
