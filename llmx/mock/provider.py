"""The simulated provider: from one HTTP request to one reply, sockets apart.

The order of its checks is a provider's own: whether it is up, key, request, model, credit, limits; then,
if luck will have it, a fault instead of the answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import unquote

import orjson

from llmx.clock import Clock
from llmx.mock.accounts import Account, Accounts, key_of
from llmx.mock.answers import answered, digest, refused, spoiled
from llmx.mock.anthropic_stream import message_events
from llmx.mock.anthropic_wire import AnthropicWire, anthropic_model
from llmx.mock.conditions import Conditions
from llmx.mock.faults import Conversations, Fate, Faults
from llmx.mock.gold import Gold
from llmx.mock.http import Reply
from llmx.mock.limit_headers import anthropic_limit_headers, openai_limit_headers, retry_after_header
from llmx.mock.openai_stream import chat_chunks
from llmx.mock.openai_wire import OpenAIWire, openai_model
from llmx.mock.parsing import HttpRequest
from llmx.mock.settings import MockSettings
from llmx.mock.stats import RequestLog, Stats
from llmx.mock.wire import Answer, Call, LimitHeaders, Rejected, Wire, bad_request
from llmx.records import to_json

__all__ = ["SimulatedProvider"]

_log = logging.getLogger(__name__)

FIRST = 0.2
"""The share of a streamed answer's time after which its first piece comes."""

_MODELS = ("mock", "mock-large")


@dataclass(frozen=True, slots=True)
class _Family:
    """A wire format and what else its responses have of their own.

    Args:
        events: of a whole answer that is streamed.
        error_event: the frame of an error in the midst of these.
    """

    wire: Wire
    limit_headers: LimitHeaders
    id_header: str
    events: Callable[[Mapping[str, Any], Call], list[bytes]]
    error_event: bytes


_OPENAI = _Family(OpenAIWire(), openai_limit_headers, "x-request-id", chat_chunks, b"data: %s\n\n")
_ANTHROPIC = _Family(
    AnthropicWire(),
    anthropic_limit_headers,
    "request-id",
    message_events,
    b"event: error\ndata: %s\n\n",
)
_CALLS = {"/chat/completions": _OPENAI, "/messages": _ANTHROPIC}


class SimulatedProvider:
    """Answers requests as `llmx.mock.http.Application` wants it.

    Args:
        clock: what the limits count by, and the schedules go by.
        gold: where the answers come from, as far as it has them.
    """

    def __init__(self, settings: MockSettings, clock: Clock, gold: Gold | None = None) -> None:
        self._settings = settings
        self._gold = gold
        self._clock = clock
        self._serial = 0
        self._stats = Stats()
        self._own: dict[tuple[str, str], Callable[[], Reply]] = {
            ("GET", "/stats"): lambda: _json(200, self.stats()),
            ("GET", "/log"): self._show_log,
            ("GET", "/truth"): self._show_truth,
            ("POST", "/reset"): self._reset,
        }
        self._begin()

    def _begin(self) -> None:
        self._started: float | None = None
        self._accounts = Accounts(self._settings)
        self._conditions = Conditions(self._settings)
        self._faults = Faults(self._settings)
        self._conversations = Conversations()
        self._log = RequestLog(self._settings.log_size)

    def _now(self) -> float:
        """Seconds since the first call, 0 before it."""
        return 0.0 if self._started is None else self._clock.now() - self._started

    def stats(self) -> dict[str, Any]:
        """What `GET /stats` tells."""
        counts = {} if self._gold is None else {"gold": self._gold.truth.counts()}
        return self._stats.snapshot() | {"keys": self._accounts.snapshot()} | counts

    def ended(self, reply: Reply, *, abandoned: bool) -> None:
        """See `Application.ended`."""
        if reply.tracked:
            self._stats.ended(abandoned=abandoned)

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
        account = self._accounts.of(key_of(request.headers))
        return self._rejection(family, Rejected("unknown_url", f"{request.method} {request.path}"), account)

    def _call(self, family: _Family, path: str, request: HttpRequest) -> Reply:
        account = self._arrived(path, request)
        try:
            reply = self._answered(family, request, account)
        except Rejected as rejected:
            reply = self._rejection(family, rejected, account)
        except RecursionError:
            reply = self._rejection(family, bad_request("The request is nested too deeply."), account)
        except Exception:  # noqa: BLE001  it is logged, and said
            # Our bug; without an answer the client would take it for a connection that broke.
            _log.exception("the mock provider failed on a request")
            reply = self._rejection(family, Rejected("server", status=500), account)
        self._stats.decided(reply.fate if reply.fate != "send" else str(reply.status))
        return replace(reply, tracked=True)

    def _arrived(self, path: str, request: HttpRequest) -> Account | None:
        self._serial += 1
        if self._started is None:
            self._started = self._clock.now()
        self._stats.arrived(path, request.body, self._now())
        if self._settings.log:
            self._log.add(request.path, request.body)
        account = self._accounts.of(key_of(request.headers))
        if account is not None:
            account.calls += 1
        return account

    def _answered(self, family: _Family, request: HttpRequest, account: Account | None) -> Reply:
        self._check_outage()
        account = _known(account, request)
        call = family.wire.parse(_loads(request.body), request.headers)
        self._check_model(call.model)
        fate = self._fate(call)
        answer = self._say(call, fate)
        self._check_quota(account)
        self._admit(answer, account)
        if fate.kind == "error":
            reply = self._rejection(family, Rejected("server", status=fate.status), account)
            return replace(reply, delay=fate.latency)
        self._charge(request, answer, fate, account)
        if self._gold is not None and fate.kind == "answer" and answer.value is not None:
            self._gold.left(call, digest(call), answer.gold)
        return self._deliver(family, call, answer, fate, account)

    def _fate(self, call: Call) -> Fate:
        fate = self._conditions.met(self._faults.next(), self._now())
        fate = fate if call.stream else fate.unstreamed()
        until = self._settings.malformed_until
        if until and fate.kind == "answer":
            attempt = self._conversations.attempt(map(orjson.dumps, call.messages))
            if attempt < until:
                return replace(fate, kind="malformed", variant=attempt)
        return fate

    def _say(self, call: Call, fate: Fate) -> Answer:
        answer = answered(call, self._settings, self._gold)
        if fate.kind == "refusal":
            return refused(answer)
        return spoiled(answer, call, self._settings, fate.variant) if fate.kind == "malformed" else answer

    def _charge(self, request: HttpRequest, answer: Answer, fate: Fate, account: Account) -> None:
        account.accepted += 1
        if fate.kind != "hang":
            account.answered += 1
            self._stats.charged(request.body, answer.input_tokens, answer.output_tokens, self._now())
        self._stats.judged(refusal=fate.kind == "refusal", malformed=fate.kind == "malformed")

    def _deliver(self, family: _Family, call: Call, answer: Answer, fate: Fate, account: Account) -> Reply:
        completion = family.wire.completion(call, answer, self._serial)
        if fate.kind == "uncounted":
            del completion["usage"]
        headers = self._headers(family, account)
        if call.stream:
            return self._streamed(family, family.events(completion, call), headers, fate)
        pace = self._settings.pace
        seconds = fate.latency + (0.0 if pace is None else answer.output_tokens / pace)
        return Reply(200, to_json(completion), headers, seconds, _ends(fate))

    def _streamed(self, family: _Family, events: list[bytes], headers: str, fate: Fate) -> Reply:
        """The events, at the pace of the settings; without one, so that the last comes when the whole would."""
        first, gap = fate.latency, 0.0
        if self._settings.pace is not None:
            gap = 1 / self._settings.pace
        elif fate.latency:
            first = fate.latency * FIRST
            gap = (fate.latency - first) / len(events)
        if fate.kind == "late_error":
            _, error = family.wire.error(Rejected("server", status=500), self._serial)
            events = [*events[: len(events) // 2], family.error_event % to_json(error)]
        return Reply(200, b"", headers, first, _ends(fate), events=events, gap=gap)

    def _check_outage(self) -> None:
        left = self._conditions.outage_left(self._now())
        if left > 0:
            raise Rejected("outage", retry_after=left if self._settings.outage_retry_after else None)

    def _check_model(self, model: str) -> None:
        if self._settings.models and model not in self._settings.models:
            raise Rejected("unknown_model", model)

    def _check_quota(self, account: Account) -> None:
        if self._settings.quota_after is not None and account.accepted >= self._settings.quota_after:
            raise Rejected("quota")

    def _admit(self, answer: Answer, account: Account) -> None:
        now = self._now()
        overrun = account.limits.admit(now, answer.input_tokens, answer.output_tokens)
        if overrun is None:
            self._stats.admitted(answer.input_tokens + answer.output_tokens, now)
            return
        kind = overrun.kind.replace("-", " ")
        figures = (overrun.limit, overrun.used, overrun.requested)
        if overrun.wait == float("inf"):
            raise Rejected("too_large", kind, figures=figures)
        self._stats.refused_by_limit()
        wait = None if self._settings.retry_after == "none" else overrun.wait
        raise Rejected("rate", kind, retry_after=wait, figures=figures)

    def _headers(self, family: _Family, account: Account | None) -> str:
        text = f"{family.id_header}: req_mock{self._serial:08x}\r\n"
        if self._settings.limit_headers and account is not None:
            text += family.limit_headers(account.limits.states(self._now()))
        return text

    def _rejection(self, family: _Family, rejected: Rejected, account: Account | None) -> Reply:
        status, body = family.wire.error(rejected, self._serial)
        if rejected.problem == "outage":  # whatever answers for a provider that is down knows no accounts
            account = None
        headers = self._headers(family, account)
        if rejected.retry_after is not None:
            form = "seconds" if rejected.problem == "outage" else self._settings.retry_after
            headers += retry_after_header(form, rejected.retry_after)
        return Reply(status, orjson.dumps(body), headers)

    def _models(self, family: _Family, name: str, request: HttpRequest) -> Reply:
        account = self._accounts.of(key_of(request.headers))
        try:
            self._check_outage()
            _known(account, request)
            if name:
                self._check_model(name)
        except Rejected as rejected:
            return self._rejection(family, rejected, account)
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

    def _show_truth(self) -> Reply:
        if self._gold is None:
            return _json(404, {"error": {"message": "what is right is known with --gold FILE only"}})
        return _json(200, self._gold.truth.document())

    def _reset(self) -> Reply:
        self._begin()
        if self._gold is not None:
            self._gold.forget()
        self._stats = Stats(self._stats.in_flight)
        return _json(200, {"reset": True})


def _ends(fate: Fate) -> Literal["send", "hang", "drop", "stall"]:
    """How much of a reply is sent."""
    return fate.kind if fate.kind in ("hang", "drop", "stall") else "send"


def _known(account: Account | None, request: HttpRequest) -> Account:
    if account is not None:
        return account
    key = key_of(request.headers)
    raise Rejected("wrong_key", key[:2] + "*" * 6) if key else Rejected("no_key")


def _loads(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"We could not parse the JSON body of your request. ({error})") from error


def _json(status: int, value: Any) -> Reply:
    return Reply(status, to_json(value))
