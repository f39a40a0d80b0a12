"""What went wrong in a call, in our words: one mapping for every provider's SDK.

An answer with a status is judged by its status, headers and error code; anything else by the names in
the exception's chain of causes, because the SDKs wrap their transports' errors and not always rightly
(openai 3.3's aiohttp transport reports a dropped connection as a timeout). Messages name what happened
in one line, without keys and without the row's text. Nothing here decides whether to try again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus

from msgspec.structs import replace

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
from llmx.providers.answers import Answer, answer_of, retry_after
from llmx.providers.keys import KEYLESS
from llmx.providers.sdk_errors import BY_CAUSE
from llmx.providers.wording import cleaned, without_row, without_secrets

__all__ = ["Call", "from_answer", "translate"]

_TRANSIENT = frozenset({408, 409, 425, 429, 499})
_NOT_SERVED = frozenset({HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})
_FORBIDDEN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_NO_CREDIT = re.compile(
    r"insufficient_quota|billing_(error|hard_limit_reached|not_active|unavailable)|spend_limit_reached"
    r"|credit balance is too low",
    re.IGNORECASE,
)
_LOW_BALANCE = re.compile(
    r"^your credit balance is too low|^you have reached your specified api usage limits", re.IGNORECASE
)
"""How Anthropic says in a 400, without a code of its own, that no credit, or none of the month's, is left."""

_PER_DAY = re.compile(r"\b(?:requests|tokens) per (?:day|month)\b|\([RT]PD\)|PerDay", re.IGNORECASE)
"""A 429 for a limit that a bulk job does not wait for: OpenAI's and Groq's "on tokens per day (TPD)", Gemini's
"GenerateRequestsPerDayPerProjectPerModel"."""

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


@dataclass(frozen=True, slots=True)
class Call:
    """What is known of the call that failed.

    Args:
        row: the row's text: whatever of it a server's message quotes is left out.
        secret: the key that was sent; never shown.
        keys: the environment variables the key may come from, for hints.
        own_server: the address was given by the user.
    """

    provider: str
    model: str
    base_url: str
    row: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    keys: tuple[str, ...] = ()
    own_server: bool = False

    def cleaned(self, words: str) -> str:
        """A third party's words as they may be shown."""
        return cleaned(words, row=self.row, secret=self.secret)


def translate(error: Exception, call: Call) -> LlmxError:
    """The error of ours for an exception that an SDK or its transport raised."""
    if isinstance(error, UnicodeEncodeError):
        return RowRefused("the row holds a lone surrogate, which is no Unicode text and cannot be sent")
    if (answer := _answer(error)) is not None:
        return from_answer(answer, call)
    causes = list(_causes(error))
    reason = call.cleaned(_reason(causes[-1]))
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
    said = call.cleaned(answer.message or _phrase(answer.status))
    told = f"{call.provider}: {said} ({answer.status})"
    # From here on the row's own words are out of it: no text of a row may decide what becomes of the others.
    answer = replace(answer, message=without_row(answer.message, call.row))
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS and _TOO_LARGE.search(answer.message):
        return RowRefused(told, hint="show the model fewer columns with --input, or split the row")
    if _is_spent(answer):
        return QuotaSpent(told, hint="add credit with the provider, then run the same command again")
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS and _PER_DAY.search(f"{answer.code} {answer.message}"):
        return QuotaSpent(told, hint="run the same command again when the day's quota is back")
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
        or (answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR and answer.status not in _NOT_SERVED)
        or bool(_MISFIRED.search(answer.code))
    )


def _transient(answer: Answer, told: str) -> LlmxError:
    limited = answer.status == HTTPStatus.TOO_MANY_REQUESTS
    kind = RateLimited if limited else ServerError
    return kind(told, retry_after=retry_after(answer.headers))


def _forbidden(answer: Answer, call: Call, told: str) -> LlmxError:
    if answer.status == HTTPStatus.FORBIDDEN and _MODERATED.search(f"{answer.code} {answer.message}"):
        return RowRefused(told)  # OpenRouter answers 403 to input that a model's moderation flags
    advice = "export {}=…" if call.secret == KEYLESS else "check the key in {}"
    return AuthenticationFailed(told, hint=advice.format(call.keys[0]) if call.keys else "")


def _refused(answer: Answer, call: Call, told: str) -> LlmxError:
    """4xx and redirects: either this row, or what every row shares."""
    if answer.status < HTTPStatus.BAD_REQUEST:
        target = call.cleaned(without_secrets(answer.headers.get("location", "")))
        message = f"{call.base_url} redirects ({answer.status}) to {target!r}; rows are not sent on"
        return RequestRejected(message, hint="give the right address with --base-url")
    code = f"{answer.code} {answer.message}"
    if answer.status == HTTPStatus.NOT_FOUND or _NO_MODEL.search(code):
        message = f"no model {call.model!r} at {call.base_url}: {call.cleaned(answer.message) or 'not found'}"
        return UnknownModel(message, hint=_where_models_are(call))
    if answer.status in _NOT_SERVED:
        return RequestRejected(told, hint="check the address: --base-url")
    if _is_shared(answer):
        return RequestRejected(told, hint="another --mode, or `llmx schema check`")
    return RowRefused(told)


def _where_models_are(call: Call) -> str:
    if not call.own_server:
        return f"`llmx models {call.provider}` lists those with a known price"
    root = call.base_url.rstrip("/") + ("/v1" if call.provider == "anthropic" else "")
    missing = "" if root.endswith("/v1") else "most addresses end in /v1; "
    return f"{missing}`curl {root}/models` asks the server for its models"


def _is_shared(answer: Answer) -> bool:
    if answer.param.startswith(("response_format", "tools", "tool_choice", "output_config", "temperature")):
        return True
    return answer.param != "messages" and bool(_SHARED_PART.search(answer.message))


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


def _reason(error: BaseException) -> str:
    """Why a connection failed, in words where aiohttp has none: it shows objects of its own."""
    names = {cls.__name__ for cls in type(error).__mro__}
    if "ServerDisconnectedError" in names:
        return "the server closed the connection"
    if "HttpProcessingError" in names:
        return "what came back is no HTTP"
    return str(error) or type(error).__name__


_UNREACHED = frozenset(
    {"ClientConnectorError", "ConnectionTimeoutError", "ConnectError", "ConnectTimeout", "PoolTimeout"}
    | {"ProxyError", "UnsupportedProtocol", "InvalidURL", "ConnectTimeoutError", "NewConnectionError"}
    | {"gaierror", "ConnectionRefusedError", "SSLCertVerificationError", "NotConnected"}
)
"""Exceptions by which the request never left this machine."""

_BROKEN = frozenset(
    {"ServerDisconnectedError", "ClientOSError", "ClientPayloadError", "ReadError", "WriteError"}
    | {"RemoteProtocolError", "LocalProtocolError", "Disconnected", "NoHttp"}
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


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase.lower()
    except ValueError:
        return "no reason given"
