"""One call: a body goes out over a transport, the answer comes back as bytes and is taken apart.

Retries, pacing and the time limit belong to the layers around this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
from msgspec import Struct, structs

from llmx.errors import (
    ConnectionFailed,
    LlmxError,
    RequestRejected,
    RowRefused,
    ServerError,
    UsageError,
)
from llmx.providers.answers import embedded
from llmx.providers.rate_headers import limit_states
from llmx.providers.sse import is_stream
from llmx.providers.status import Call, from_answer, translate
from llmx.providers.streams import AnswerStream, Streaming
from llmx.providers.transports import Answered, Transport, has_proxies
from llmx.providers.wording import without_key
from llmx.records.integers import loads
from llmx.types import Completion, Ear, Finish, Listener, Request, Usage

__all__ = ["PostingProvider", "Reading", "check_proxies", "counted"]

_PROXY_HINT = "one is http://proxy.example:3128; in a user or password, write / as %2F and @ as %40"


class Reading(Struct, frozen=True):
    """What a response's body says. See `Completion` for the fields."""

    text: str
    finish: Finish
    usage: Usage | None
    model: str | None


def counted(read: Callable[[Mapping[str, Any]], Usage | None], counts: object) -> Usage | None:
    """A response's usage, None where the server has not counted or not in numbers.

    Args:
        read: the usage in what the format has for it; raises what Python raises when there are no numbers.
    """
    if not counts or not isinstance(counts, Mapping):
        return None
    try:
        return read(counts)
    except (AttributeError, TypeError, ValueError):
        return None


def check_proxies() -> None:
    """Refuse what no SDK can use, without repeating it: a proxy's address may hold a password.

    The SDKs take proxies from the environment of the process by themselves.

    Raises:
        UsageError: one of them is no address of a proxy.
    """
    if not has_proxies():
        return
    from urllib.request import getproxies

    from httpx2 import Proxy

    for scheme, url in getproxies().items():
        if scheme not in ("http", "https", "all") or not url:
            continue
        try:
            Proxy(url if "://" in url else f"http://{url}")
        except Exception:  # noqa: BLE001  each part of an address has an exception of its own
            variable = f"{scheme.upper()}_PROXY"
            raise UsageError(f"{variable} is no address of a proxy", hint=_PROXY_HINT) from None


class PostingProvider:
    """Sends bodies and reads answers.

    Args:
        read: takes a response's parsed JSON apart; raises when it is no completion.
        price: US dollars for a model's usage.
        call: what errors may tell of where the call went.
        streaming: how an answer is asked for that is heard while it is written; None where it comes as a whole only.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        read: Callable[[Mapping[str, Any]], Reading],
        price: Callable[[str, Usage], Decimal | None],
        call: Call,
        streaming: Streaming | None = None,
    ) -> None:
        self._transport = transport
        self._streaming = streaming
        self._read = read
        self._price = price
        self._call = call
        self._listener: Listener | None = None

    def listen(self, listener: Listener) -> None:
        """From now on `listener` is told what every response says of the provider's limits."""
        self._listener = listener

    async def complete(self, request: Request) -> Completion:
        """See `Provider.complete`."""
        if request.ear is not None and self._streaming is not None:
            return await self._streamed(request, request.ear, self._streaming)
        response = await self._post(request)
        return self._whole(request, response, self._body(response))

    def _whole(self, request: Request, response: Answered, body: Mapping[str, Any]) -> Completion:
        """The completion that a response's body is. Raises what `complete` does."""
        if (failure := embedded(body, response.headers)) is not None:
            raise from_answer(failure, self._about(request))
        try:
            reading = self._read(body)
        except (LookupError, TypeError, AttributeError):
            raise self._unusable(response, "without a completion") from None
        return self._completion(request, body, reading)

    async def _streamed(self, request: Request, ear: Ear, streaming: Streaming) -> Completion:
        """The same completion as of a call for the whole; the ear hears it come."""
        ear.begin()
        stream = AnswerStream(streaming.assembler(ear), self._call.secret)
        try:
            response = await self._transport.stream(request.body, streaming.asked, stream.take)
        except Exception as error:
            raise self._asking_less(self._failed(error, request, begun=stream.begun), streaming) from error
        self._tell(response.headers)
        if response.content and not is_stream(response.headers):
            return self._whole(request, response, self._body(response))
        stream.take(response.content)  # of one that was compressed, all at once
        stream.end()
        return self._whole(request, response, self._streamed_body(request, response, stream))

    def _asking_less(self, failed: LlmxError, streaming: Streaming) -> LlmxError:
        """The error of a stream that was refused; where it was for how its usage is asked for, the next one does not ask.

        Mistral's server and some of Azure's do not know it, and say so by its name.
        """
        refused = isinstance(failed, RowRefused | RequestRejected) and "stream_options" in str(failed)
        if not refused or "stream_options" not in streaming.asked:
            return failed
        self._streaming = structs.replace(streaming, asked={"stream": True})
        return ServerError(str(failed))

    def _streamed_body(self, request: Request, response: Answered, stream: AnswerStream) -> Mapping[str, Any]:
        if (failure := stream.failure) is not None:
            error = from_answer(structs.replace(failure, headers=response.headers), self._about(request))
            error.maybe_billed = error.maybe_billed or stream.begun
            raise error
        if stream.garbled:
            raise self._unusable(response, "with something that is no stream of an answer")
        body = stream.body()
        if body is None:
            said = f"{self._call.base_url} ended its stream before the answer was whole"
            raise ConnectionFailed(said, maybe_billed=True)
        return body

    async def aclose(self) -> None:
        """See `Provider.aclose`."""
        await self._transport.aclose()

    async def _post(self, request: Request) -> Answered:
        try:
            response = await self._transport.post(request.body)
        except Exception as error:
            raise self._failed(error, request) from error
        self._tell(response.headers)
        return response

    def _failed(self, error: Exception, request: Request, *, begun: bool = False) -> LlmxError:
        """The error of ours for what a transport raised.

        Args:
            begun: some of an answer had come.
        """
        self._tell(getattr(getattr(error, "response", None), "headers", None))
        failed = translate(error, self._about(request))
        failed.maybe_billed = failed.maybe_billed or begun
        return failed

    def _tell(self, headers: Mapping[str, str] | None) -> None:
        if self._listener is not None and headers is not None and (states := limit_states(headers)):
            self._listener(states)

    def _body(self, response: Answered) -> Mapping[str, Any]:
        try:
            body = loads(without_key(response.content, self._call.secret))
        except orjson.JSONDecodeError:
            body = None
        if isinstance(body, dict):
            return body
        raise self._unusable(response, "with something that is not JSON")

    def _unusable(self, response: Answered, how: str) -> ServerError:
        """A 200 of which nothing can be made; whoever sent it may charge for it."""
        return ServerError(f"{self._call.base_url} answered {response.status_code} {how}", maybe_billed=True)

    def _completion(self, request: Request, body: Mapping[str, Any], reading: Reading) -> Completion:
        # A server that does not count leaves the cost unknown, not 0.
        used = reading.usage
        usage = used.costing(self._price(request.model, used)) if used else Usage(cost=None)
        return Completion(reading.text, usage, reading.model or request.model, reading.finish, body)

    def _about(self, request: Request) -> Call:
        return replace(self._call, model=request.model, row=request.row)
