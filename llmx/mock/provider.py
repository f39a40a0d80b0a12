"""The simulated provider: from one HTTP request to one reply, sockets apart.

The order of its checks is a provider's own: key, request, model, credit, limits; then, if luck will
have it, a fault instead of the answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

import orjson

from llmx.clock import Clock
from llmx.mock.answers import answered, refused, spoiled
from llmx.mock.anthropic_wire import AnthropicWire, anthropic_model
from llmx.mock.faults import Conversations, Fate, Faults
from llmx.mock.http import Reply
from llmx.mock.limit_headers import anthropic_limit_headers, openai_limit_headers, retry_after_header
from llmx.mock.limits import RateLimits
from llmx.mock.openai_wire import OpenAIWire, openai_model
from llmx.mock.parsing import HttpRequest
from llmx.mock.settings import MockSettings
from llmx.mock.stats import RequestLog, Stats
from llmx.mock.wire import Answer, Call, LimitHeaders, Rejected, Wire, bad_request

__all__ = ["SimulatedProvider"]

_log = logging.getLogger(__name__)

_MODELS = ("mock", "mock-large")


@dataclass(frozen=True, slots=True)
class _Family:
    """A wire format and what else its responses have of their own."""

    wire: Wire
    limit_headers: LimitHeaders
    id_header: str


_OPENAI = _Family(OpenAIWire(), openai_limit_headers, "x-request-id")
_ANTHROPIC = _Family(AnthropicWire(), anthropic_limit_headers, "request-id")
_CALLS = {"/chat/completions": _OPENAI, "/messages": _ANTHROPIC}


class SimulatedProvider:
    """Answers requests as `llmx.mock.http.Application` wants it.

    Args:
        clock: what the limits count by.
    """

    def __init__(self, settings: MockSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._serial = 0
        self._stats = Stats()
        self._own: dict[tuple[str, str], Callable[[], Reply]] = {
            ("GET", "/stats"): lambda: _json(200, self.stats()),
            ("GET", "/log"): self._show_log,
            ("POST", "/reset"): self._reset,
        }
        self._begin()

    def _begin(self) -> None:
        self._limits = RateLimits(self._settings.rpm, self._settings.tpm)
        self._faults = Faults(self._settings)
        self._conversations = Conversations()
        self._log = RequestLog(self._settings.log_size)
        self._accepted = 0

    def stats(self) -> dict[str, Any]:
        """What `GET /stats` tells."""
        return self._stats.snapshot()

    def ended(self, reply: Reply) -> None:
        """See `Application.ended`."""
        if reply.tracked:
            self._stats.ended()

    def answer(self, request: HttpRequest) -> Reply:
        """See `Application.answer`."""
        # groq's SDK puts its own prefix before the common one.
        path = request.path.removeprefix("/openai").removeprefix("/v1")
        family = _CALLS.get(path)
        if family is not None and request.method == "POST":
            return self._call(family, path, request)
        method = "GET" if request.method == "HEAD" else request.method
        own = self._own.get((method, request.path))
        if own is not None:
            return own()
        is_anthropic = "anthropic-version" in request.headers
        family = family or (_ANTHROPIC if is_anthropic else _OPENAI)
        if method == "GET" and (path == "/models" or path.startswith("/models/")):
            return self._models(family, unquote(path.removeprefix("/models").removeprefix("/")), request)
        return self._rejection(family, Rejected("unknown_url", f"{request.method} {request.path}"))

    def _call(self, family: _Family, path: str, request: HttpRequest) -> Reply:
        self._serial += 1
        self._stats.arrived(path, request.body, self._clock.now())
        if self._settings.log:
            self._log.add(request.path, request.body)
        try:
            reply = self._answered(family, request)
        except Rejected as rejected:
            reply = self._rejection(family, rejected)
        except RecursionError:
            reply = self._rejection(family, bad_request("The request is nested too deeply."))
        except Exception:  # noqa: BLE001  it is logged, and said
            # Our bug; without an answer the client would take it for a connection that broke.
            _log.exception("the mock provider failed on a request")
            reply = self._rejection(family, Rejected("server", status=500))
        self._stats.decided(reply.fate if reply.fate != "send" else str(reply.status))
        return replace(reply, tracked=True)

    def _answered(self, family: _Family, request: HttpRequest) -> Reply:
        self._check_key(request)
        call = family.wire.parse(_loads(request.body), request.headers)
        self._check_model(call.model)
        fate = self._fate(call)
        answer = self._say(call, fate)
        self._check_quota()
        self._admit(answer)
        if fate.kind == "error":
            reply = self._rejection(family, Rejected("server", status=fate.status))
            return replace(reply, delay=fate.latency)
        return self._deliver(family, request, call, answer, fate)

    def _fate(self, call: Call) -> Fate:
        fate = self._faults.next()
        until = self._settings.malformed_until
        if until and fate.kind == "answer":
            attempt = self._conversations.attempt(map(orjson.dumps, call.messages))
            if attempt < until:
                return replace(fate, kind="malformed", variant=attempt)
        return fate

    def _say(self, call: Call, fate: Fate) -> Answer:
        answer = answered(call, self._settings)
        if fate.kind == "refusal":
            return refused(answer)
        return spoiled(answer, call, self._settings, fate.variant) if fate.kind == "malformed" else answer

    def _deliver(
        self, family: _Family, request: HttpRequest, call: Call, answer: Answer, fate: Fate
    ) -> Reply:
        self._accepted += 1
        if fate.kind != "hang":
            tokens = (answer.input_tokens, answer.output_tokens)
            self._stats.charged(request.body, *tokens, self._clock.now())
        self._stats.judged(refusal=fate.kind == "refusal", malformed=fate.kind == "malformed")
        body = orjson.dumps(family.wire.completion(call, answer, self._serial))
        reply = Reply(200, body, self._headers(family), fate.latency)
        if fate.kind == "hang":
            return replace(reply, fate="hang")
        return replace(reply, fate="drop") if fate.kind == "drop" else reply

    def _check_key(self, request: HttpRequest) -> None:
        if not self._settings.keys:
            return
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        key = request.headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
        if not key:
            raise Rejected("no_key")
        if key not in self._settings.keys:
            raise Rejected("wrong_key", key[:2] + "*" * 6)

    def _check_model(self, model: str) -> None:
        if self._settings.models and model not in self._settings.models:
            raise Rejected("unknown_model", model)

    def _check_quota(self) -> None:
        if self._settings.quota_after is not None and self._accepted >= self._settings.quota_after:
            raise Rejected("quota")

    def _admit(self, answer: Answer) -> None:
        overrun = self._limits.admit(self._clock.now(), answer.input_tokens, answer.output_tokens)
        if overrun is None:
            return
        figures = (overrun.limit, overrun.used, overrun.requested)
        if overrun.wait == float("inf"):
            raise Rejected("too_large", "tokens", figures=figures)
        raise Rejected("rate", overrun.kind, retry_after=overrun.wait, figures=figures)

    def _headers(self, family: _Family) -> str:
        text = f"{family.id_header}: req_mock{self._serial:08x}\r\n"
        if self._settings.limit_headers:
            text += family.limit_headers(self._limits.states(self._clock.now()))
        return text

    def _rejection(self, family: _Family, rejected: Rejected) -> Reply:
        status, body = family.wire.error(rejected, self._serial)
        headers = self._headers(family)
        if rejected.retry_after is not None:
            headers += retry_after_header(self._settings.retry_after, rejected.retry_after)
        return Reply(status, orjson.dumps(body), headers)

    def _models(self, family: _Family, name: str, request: HttpRequest) -> Reply:
        try:
            self._check_key(request)
            if name:
                self._check_model(name)
        except Rejected as rejected:
            return self._rejection(family, rejected)
        entry = anthropic_model if family is _ANTHROPIC else openai_model
        if name:
            return _json(200, entry(name))
        data = [entry(model) for model in self._settings.models or _MODELS]
        if family is _OPENAI:
            return _json(200, {"object": "list", "data": data})
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]}
        return _json(200, {"data": data, "has_more": False, **ends})

    def _show_log(self) -> Reply:
        if not self._settings.log:
            return _json(404, {"error": {"message": "request bodies are kept with --log only"}})
        return _json(200, {"requests": self._log.snapshot()})

    def _reset(self) -> Reply:
        self._begin()
        self._stats = Stats(self._stats.in_flight)
        return _json(200, {"reset": True})


def _loads(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"We could not parse the JSON body of your request. ({error})") from error


def _json(status: int, value: Any) -> Reply:
    return Reply(status, orjson.dumps(value))
