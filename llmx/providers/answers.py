"""Responses that are no completions, as providers write them: status, headers, and the error in the body."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from msgspec import Struct

__all__ = ["Answer", "answer_of", "embedded", "retry_after", "server_time"]

_PAGE = re.compile(r"\s*<(?:!doctype|html|head|body)\b", re.IGNORECASE)
_TITLE = re.compile(r"<title>([^<]{1,100})</title>", re.IGNORECASE)


class Answer(Struct, frozen=True):
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
    return Answer(status, lowered, _without_markup(str(words)), codes, str(fields.get("param") or ""))


def _without_markup(words: str) -> str:
    """What stands for a page: servers that speak no API, and gateways, answer with one."""
    if not _PAGE.match(words):
        return words
    title = _TITLE.search(words)
    return f"an HTML page ({' '.join(title[1].split())!r})" if title else "an HTML page"


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


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds to wait, from `retry-after-ms`, else `retry-after` as seconds or as an HTTP date.

    RFC 9110, section 10.2.3; the milliseconds are OpenAI's and Anthropic's. What is not a positive,
    finite time is ignored.

    Args:
        headers: by lower-case name.
        now: the wall clock's seconds since 1970, for dates of a server that does not say what time it has; None to ask
            it.
    """
    found = _seconds(headers.get("retry-after-ms"), scale=0.001)
    if found is not None:
        return found
    text = headers.get("retry-after")
    found = _seconds(text)
    return found if found is not None else _until(text, server_time(headers.get("date"), now))


def _seconds(text: str | None, scale: float = 1.0) -> float | None:
    try:
        seconds = float(text or "") * scale
    except ValueError:
        return None
    return seconds if 0 < seconds < math.inf else None


def server_time(date: str | None, now: float | None = None) -> float:
    """What time the server has, in seconds since 1970: ours may be wrong, and only differences matter.

    Args:
        date: the `date` header.
        now: where that says nothing; None to ask our own clock.
    """
    if (told := _http_date(date)) is not None:
        return told
    return time.time() if now is None else now


def _until(text: str | None, now: float) -> float | None:
    moment = _http_date(text)
    return moment - now if moment is not None and moment > now else None


def _http_date(text: str | None) -> float | None:
    """Seconds since 1970; None for what is no date."""
    try:
        return parsedate_to_datetime(text or "").timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
