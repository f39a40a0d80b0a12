"""What went wrong in a call, in our words: one mapping for every provider's SDK.

An answer with a status is judged by its status, headers and error code; anything else by the names in
the exception's chain of causes, because the SDKs wrap their transports' errors and not always rightly
(openai 3.3's aiohttp transport reports a dropped connection as a timeout). Messages name what happened
in one line, without keys and without the row's text. Nothing here decides whether to try again.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from llmx.errors import (
    AuthenticationFailed,
    CallTimeout,
    ConnectionFailed,
    LlmxError,
    QuotaSpent,
    RateLimited,
    RequestRejected,
    RowRefused,
    ServerError,
    UnknownModel,
)
from llmx.providers.sdk_errors import BY_CAUSE

__all__ = [
    "Answer",
    "Call",
    "answer_of",
    "cleaned",
    "embedded",
    "from_answer",
    "retry_after",
    "translate",
]

_TRANSIENT = frozenset({408, 409, 425, 429, 499})
_FORBIDDEN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_NO_CREDIT = re.compile(
    r"insufficient_quota|billing_(error|hard_limit_reached|not_active|unavailable)|spend_limit_reached"
    r"|credit balance is too low",
    re.IGNORECASE,
)
_LOW_BALANCE = re.compile(r"^your credit balance is too low", re.IGNORECASE)
"""How Anthropic says in a 400, without a code of its own, that no credit is left."""

_TOO_LARGE = re.compile(
    r"^request too large|tokens must be reduced|larger than your rate limit", re.IGNORECASE
)
"""A 429 that no waiting helps: the row alone is more than a minute's tokens."""

_ACCOUNT = re.compile(
    r"organization_(on_hold|type_not_supported)|parent_organization_required|cmek_key_(disabled|network_blocked)"
    r"|claude_code_(version_too_old|key_creator_not_member)"
)
"""Codes of Anthropic's 400s that are about the account and not about the request."""

_MISFIRED = re.compile(r"tool_use_failed|json_validate_failed")
"""Groq's codes for a 400 that says the model's own answer was malformed; the next one may not be."""

_MODERATED = re.compile(r"moderation|flagged|content[ _]filter", re.IGNORECASE)
_NO_MODEL = re.compile(r"model_not_found|model\b.{0,80}\b(does not exist|not found)", re.IGNORECASE)
_SHARED_PART = re.compile(
    r"(?:^|[\s'\"`(])(?:response_format|output_config|output_format|tools?\.\d|tools\[|tool_choice|input_schema"
    r"|invalid schema|unsupported (?:parameter|value)|unrecognized request argument)",
    re.IGNORECASE,
)
"""Parts of a request that are the same for every row: refused once, refused always."""

_KEYS = re.compile(r"\b(?:sk|pk|gsk|xai|csk|pplx|tgp|fw|hf|AIza|Bearer)[-_ ][\w*.~+/-]{6,}|\bAIza[\w-]{10,}")
_LINE = 300
_JUDGED = 4_000
"""Characters of a message that are looked at."""
_QUOTE = 24
"""Characters in common from which a message counts as quoting the row."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is known of the call that failed.

    Args:
        row: the row's text: whatever of it a server's message quotes is left out.
        secret: the key that was sent; never shown.
        keys: the environment variables the key may come from, for hints.
    """

    provider: str
    model: str
    base_url: str
    row: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A response that is no completion.

    Args:
        headers: by lower-case name.
        message: the server's own words.
        code: its error codes and types, in one string.
        param: the part of the request it names.
    """

    status: int
    headers: Mapping[str, str]
    message: str = ""
    code: str = ""
    param: str = ""


def translate(error: Exception, call: Call) -> LlmxError:
    """The error of ours for an exception that an SDK or its transport raised."""
    if isinstance(error, UnicodeEncodeError):
        return RowRefused("the row holds a lone surrogate, which is no Unicode text and cannot be sent")
    if (answer := _answer(error)) is not None:
        return from_answer(answer, call)
    causes = list(_causes(error))
    reason = cleaned(str(causes[-1]) or type(causes[-1]).__name__, call)
    match _broke(causes):
        case "timeout":
            return CallTimeout(f"{call.base_url} did not answer in time; it may have been billed")
        case "connection":
            said = f"no answer from {call.base_url}: {reason}"
            return ConnectionFailed(said, maybe_billed=_was_sent(causes))
        case _:
            return RowRefused(f"{call.provider}'s SDK failed with {type(error).__name__}: {reason}")


def from_answer(answer: Answer, call: Call) -> LlmxError:
    """The error of ours for a response that is no completion."""
    said = cleaned(answer.message or _phrase(answer.status), call)
    told = f"{call.provider}: {said} ({answer.status})"
    # From here on the row's own words are out of it: no text of a row may decide what becomes of the others.
    answer = replace(answer, message=_without_row(answer.message, call.row))
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS and _TOO_LARGE.search(answer.message):
        return RowRefused(told, hint="show the model fewer columns with --input, or split the row")
    if _is_spent(answer):
        return QuotaSpent(told, hint="add credit with the provider, then run the same command again")
    # The server knows better than its status whether another attempt makes sense.
    asked = answer.headers.get("x-should-retry")
    if asked == "true" or (_is_transient(answer) and asked != "false"):
        return _transient(answer, told)
    if answer.status in _FORBIDDEN or _ACCOUNT.search(answer.code):
        return _forbidden(answer, call, told)
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        # A limit that waiting does not lift is no pacing: no row would fare better.
        return QuotaSpent(told, hint="run the same command again later")
    return _refused(answer, call, told)


def _is_spent(answer: Answer) -> bool:
    """Whether no credit is left: by the code, by the message only where the status is about access."""
    told = answer.status in (*_FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS) and _NO_CREDIT.search(answer.message)
    return bool(
        answer.status == HTTPStatus.PAYMENT_REQUIRED
        or _NO_CREDIT.search(answer.code)
        or told
        or _LOW_BALANCE.search(answer.message)
    )


def _is_transient(answer: Answer) -> bool:
    return (
        answer.status in _TRANSIENT
        or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        or bool(_MISFIRED.search(answer.code))
    )


def _transient(answer: Answer, told: str) -> LlmxError:
    limited = answer.status == HTTPStatus.TOO_MANY_REQUESTS
    kind = RateLimited if limited else ServerError
    return kind(told, retry_after=retry_after(answer.headers))


def _forbidden(answer: Answer, call: Call, told: str) -> LlmxError:
    if answer.status == HTTPStatus.FORBIDDEN and _MODERATED.search(f"{answer.code} {answer.message}"):
        return RowRefused(told)  # OpenRouter answers 403 to input that a model's moderation flags
    hint = f"check the key in {call.keys[0]}" if call.keys else ""
    return AuthenticationFailed(told, hint=hint)


def _refused(answer: Answer, call: Call, told: str) -> LlmxError:
    """4xx and redirects: either this row, or what every row shares."""
    if answer.status < HTTPStatus.BAD_REQUEST:
        target = _without_secrets(answer.headers.get("location", ""))
        message = f"{call.base_url} redirects ({answer.status}) to {target!r}; rows are not sent on"
        return RequestRejected(message, hint="give the right address with --base-url")
    code = f"{answer.code} {answer.message}"
    if answer.status == HTTPStatus.NOT_FOUND or _NO_MODEL.search(code):
        message = (
            f"no model {call.model!r} at {call.base_url}: {cleaned(answer.message, call) or 'not found'}"
        )
        return UnknownModel(message, hint=f"`llmx models {call.provider}` lists those with a known price")
    if answer.status == HTTPStatus.METHOD_NOT_ALLOWED or _is_shared(answer):
        return RequestRejected(told, hint="another --mode, or `llmx schema check`")
    return RowRefused(told)


def _is_shared(answer: Answer) -> bool:
    if answer.param.startswith(("response_format", "tools", "tool_choice", "output_config", "temperature")):
        return True
    return answer.param != "messages" and bool(_SHARED_PART.search(answer.message))


def _without_secrets(url: str) -> str:
    """An address as it may be shown: without user, password and query."""
    try:
        parts = urlsplit(url)
    except ValueError:  # it is a server's word, and no address
        return "elsewhere"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")) or "elsewhere"


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds to wait, from `retry-after-ms`, else `retry-after` as seconds or as an HTTP date.

    RFC 9110, section 10.2.3; the milliseconds are OpenAI's and Anthropic's. What is not a positive,
    finite time is ignored.

    Args:
        headers: by lower-case name.
        now: the wall clock's seconds since 1970, for dates; None to ask it.
    """
    found = _seconds(headers.get("retry-after-ms"), scale=0.001)
    if found is not None:
        return found
    text = headers.get("retry-after")
    found = _seconds(text)
    return found if found is not None else _until(text, time.time() if now is None else now)


def _seconds(text: str | None, scale: float = 1.0) -> float | None:
    try:
        seconds = float(text or "") * scale
    except ValueError:
        return None
    return seconds if 0 < seconds < math.inf else None


def _until(text: str | None, now: float) -> float | None:
    try:
        seconds = parsedate_to_datetime(text or "").timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return seconds if seconds > 0 else None


def _answer(error: Exception) -> Answer | None:
    """The response an SDK's exception carries, None when there was none."""
    response = getattr(error, "response", None) or getattr(error, "raw_response", None)
    candidates = [getattr(error, "status_code", None), getattr(response, "status_code", None)]
    candidates.append(getattr(error, "code", None))  # google.genai
    status = next((c for c in candidates if isinstance(c, int) and 100 <= c < 600), None)
    if status is None:
        return None
    headers = getattr(response, "headers", None) or getattr(error, "headers", None) or {}
    body = getattr(error, "body", None) or getattr(error, "details", None)
    return answer_of(status, headers, body, fallback=str(getattr(error, "message", "") or ""))


def answer_of(status: int, headers: Any, body: Any, *, fallback: str = "") -> Answer:
    """An answer from the parts of a response; the error is found in the body in any of its usual places."""
    body = _json(body)
    inner = body.get("error", body) if isinstance(body, Mapping) else body
    fields = inner if isinstance(inner, Mapping) else {}
    detail = _detail(fields.get("detail"))
    words = fields.get("message") or detail or (inner if isinstance(inner, str) else fallback)
    named = ("code", "type", "status", "details", "metadata")
    codes = " ".join(str(fields[name]) for name in named if fields.get(name))
    lowered = {str(name).lower(): str(value) for name, value in dict(headers).items()}
    return Answer(status, lowered, str(words), codes, str(fields.get("param") or ""))


def _detail(detail: Any) -> Any:
    """FastAPI's: a text, or a list of which each entry repeats its part of the request as `input`."""
    if not isinstance(detail, list):
        return detail
    entries = [entry for entry in detail if isinstance(entry, Mapping)]
    places = [".".join(map(str, entry.get("loc") or ())) for entry in entries]
    return "; ".join(f"{place}: {entry.get('msg', '')}" for place, entry in zip(places, entries, strict=True))


def embedded(body: Mapping[str, Any], headers: Any) -> Answer | None:
    """The error inside a response of status 200, as gateways send it when the provider behind them failed."""
    choice = next(iter(body.get("choices") or ()), None)
    holder = choice if isinstance(choice, Mapping) and choice.get("error") else body
    error = holder.get("error")
    if not error:
        return None
    code = error.get("code") if isinstance(error, Mapping) else None
    status = code if isinstance(code, int) and 300 <= code < 600 else HTTPStatus.BAD_GATEWAY.value
    return answer_of(status, headers, {"error": error})


def _json(body: Any) -> Any:
    """Some SDKs (mistral) hand over the response's text."""
    try:
        return json.loads(body) if isinstance(body, str) else body
    except ValueError:
        return body


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


_READ_TIMEOUT = frozenset({"ReadTimeout", "SocketTimeoutError", "WriteTimeout", "ReadTimeoutError"})
_CONNECTION = re.compile(
    r"Connect|Disconnect|Network|Protocol|ReadError|WriteError|OSError|Payload|Proxy|SSL|DNS"
)


def _broke(causes: list[BaseException]) -> str | None:
    """Whether the answer was late ("timeout"), or the connection failed ("connection"); None when neither."""
    names = [cls.__name__ for error in causes for cls in type(error).__mro__[:-2]]
    if not _READ_TIMEOUT.isdisjoint(names):
        return "timeout"
    inner = [name for name in names if name not in BY_CAUSE]
    if any(_CONNECTION.search(name) for name in inner):
        return "connection"
    if any("Timeout" in name or "DeadlineExceeded" in name for name in names):
        return "timeout"
    return "connection" if any(_CONNECTION.search(name) for name in names) else None


_UNREACHED = frozenset(
    {"ClientConnectorError", "ConnectionTimeoutError", "ConnectError", "ConnectTimeout", "PoolTimeout"}
    | {"ProxyError", "UnsupportedProtocol", "InvalidURL", "ConnectTimeoutError", "NewConnectionError"}
    | {"gaierror", "ConnectionRefusedError", "SSLCertVerificationError"}
)
"""Exceptions by which the request never left this machine."""

_BROKEN = frozenset(
    {"ServerDisconnectedError", "ClientOSError", "ClientPayloadError", "ReadError", "WriteError"}
    | {"RemoteProtocolError", "LocalProtocolError"}
)
"""Exceptions by which a connection broke that had been there."""


def _was_sent(causes: list[BaseException]) -> bool:
    """Whether the request may have gone out before the connection failed; True when nothing says.

    The innermost cause that tells decides: openai's transport reports connections that broke as ones
    that could not be made.
    """
    for error in reversed(causes):
        names = {cls.__name__ for cls in type(error).__mro__}
        if names & _UNREACHED:
            return False
        if names & _BROKEN:
            return True
    return True


def cleaned(message: str, call: Call) -> str:
    """A third party's words in one line of at most 300 characters, without keys and the row's own words."""
    line = " ".join(message.split())
    if call.secret:
        line = line.replace(call.secret, "…")
    line = _without_quotes(_KEYS.sub("…", line)[: 4 * _LINE], call.row)
    return line if len(line) <= _LINE else line[: _LINE - 1] + "…"


def _without_row(message: str, row: str) -> str:
    """A server's message without what it quotes of the row: whole columns, and longer parts of any."""
    message = " ".join(message.split())
    columns = sorted((" ".join(column.split()) for column in row.split("\x1e")), key=len, reverse=True)
    for column in columns:
        if len(column) > 2:
            message = message.replace(column, "…")
    return _without_quotes(message[:_JUDGED], row)


def _without_quotes(line: str, row: str) -> str:
    row = " ".join(row.split())
    kept: list[str] = []
    at = 0
    while at < len(line):
        if len(line) - at >= _QUOTE and line[at : at + _QUOTE] in row:
            end = at + _QUOTE
            while end < len(line) and line[at : end + 1] in row:
                end += 1
            kept.append("…")
            at = end
        else:
            kept.append(line[at])
            at += 1
    return "".join(kept)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase.lower()
    except ValueError:
        return "no reason given"
