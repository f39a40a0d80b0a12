"""The process's log: one line for each record, as JSON or as text, on the standard library's `logging`.

What is bound to a task (the request, the job, the shard) is in all lines that come of it. Secrets are masked, contents left
out, and of an exception its type and place are told and not its words, which may quote a row. Nothing here logs by itself.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal, TextIO

from llmx.errors import UsageError
from llmx.telemetry.masking import CONTENTS, SECRETS, masked
from llmx.text import escaped

__all__ = ["LogFormat", "bound", "configure_logs", "uvicorn_logs"]

LogFormat = Literal["json", "text"]

Value = str | int | float | bool | None

_BOUND: ContextVar[Mapping[str, Value]] = ContextVar("llmx_log_fields", default=MappingProxyType({}))

_LEVELS = ("debug", "info", "warning", "error", "critical")
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}
_FRAMES = 8
_UVICORN = ("uvicorn", "uvicorn.access", "uvicorn.error")


@contextmanager
def bound(**fields: Value) -> Iterator[None]:
    """Have `fields` in every line that is logged within, by this task and those that it starts.

    Args:
        fields: such as `request_id`, `job_id`, `shard`; None takes one away.
    """
    token = _BOUND.set({**_BOUND.get(), **fields})
    try:
        yield
    finally:
        _BOUND.reset(token)


def configure_logs(
    stream: TextIO | None = None, level: str = "info", format: LogFormat = "json"
) -> logging.Handler:
    """Have everything that the process logs written to one stream, line by line.

    Args:
        stream: standard error by default.
        level: of our own lines and the server's, "debug" to "critical"; other libraries are heard from "warning" on.

    Returns:
        The handler, which takes the place of those that the root logger had.

    Raises:
        UsageError: there is no such level or format.
    """
    number = _number(level)
    if format not in ("json", "text"):
        raise UsageError(f"no log format {format!r}", hint="json or text")
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(_Json() if format == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))
    for name in ("llmx", *_UVICORN):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(number)
    return handler


def uvicorn_logs(level: str = "info") -> dict[str, Any]:
    """The `log_config` with which uvicorn leaves its lines to `configure_logs`. Raises UsageError: no such level."""
    name = logging.getLevelName(_number(level))
    ours = {"handlers": [], "level": name, "propagate": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "loggers": dict.fromkeys(_UVICORN, ours),
    }


def _number(level: str) -> int:
    if level.lower() not in _LEVELS:
        raise UsageError(f"no log level {level!r}", hint=", ".join(_LEVELS))
    return int(logging.getLevelNamesMapping()[level.upper()])


class _Handler(logging.StreamHandler[TextIO]):
    """Never fails who logs: a line that cannot be written is lost."""

    def handleError(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`; the standard one would write a traceback to the stream that is broken."""


class _Json(logging.Formatter):
    """A line as JSON: time, level, logger, message, then what is bound, the trace, and the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        return escaped(json.dumps(_entry(record), ensure_ascii=False))


class _Text(logging.Formatter):
    """The same for people."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        entry = _entry(record)
        time, level, name, message = (entry.pop(part) for part in ("time", "level", "logger", "message"))
        rest = "".join(f" {field}={_word(value)}" for field, value in entry.items())
        return escaped(f"{time} {level.upper()} {name}: {' '.join(message.split())}{rest}").replace("\n", " ")


def _word(value: Any) -> str:
    plain = isinstance(value, str) and value and not any(one in ' "=' or one.isspace() for one in value)
    return value if plain else json.dumps(value, ensure_ascii=False)


def _entry(record: logging.LogRecord) -> dict[str, Any]:
    """What a line says."""
    message, fields = _said(record)
    head = {
        "time": _rfc3339(record.created),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": masked(message),
    }
    bound_ones = {name: value for name, value in _BOUND.get().items() if value is not None}
    told = {**bound_ones, **_trace(), **fields, **_own(record), **_exception(record)}
    return head | {name: _shown(name, value) for name, value in told.items() if name not in head}


def _said(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    """The message, and what uvicorn's line of an answer holds, without the request's query."""
    if record.name == "uvicorn.access" and isinstance(record.args, tuple) and len(record.args) == 5:
        client, method, path, _, status = record.args
        bare = str(path).partition("?")[0]
        return f"{method} {bare} {status}", {
            "client": client,
            "method": method,
            "path": bare,
            "status": status,
        }
    try:
        return record.getMessage(), {}
    except (TypeError, ValueError):  # whoever logs has counted wrong
        return str(record.msg), {}


def _rfc3339(seconds: float) -> str:
    """A time in UTC to the millisecond (RFC 3339)."""
    return (
        datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(seconds % 1 * 1e3):03d}Z"
    )


def _trace() -> dict[str, Value]:
    """The span that is being made, where the process has OpenTelemetry and there is one."""
    tracing = sys.modules.get("opentelemetry.trace")
    context = tracing.get_current_span().get_span_context() if tracing is not None else None
    if context is None or not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def _own(record: logging.LogRecord) -> dict[str, Any]:
    """The record's `extra`, but for what would be contents."""
    given = {name: value for name, value in vars(record).items() if name not in _OWN}
    return {name: value for name, value in given.items() if name.lower() not in CONTENTS}


def _exception(record: logging.LogRecord) -> dict[str, Any]:
    if not record.exc_info or record.exc_info[1] is None:
        return {}
    error = record.exc_info[1]
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return {"error_type": type(error).__name__, "error_at": " < ".join(reversed(places))}


def _shown(name: str, value: Any) -> Value:
    """A field's value; what is no text or number is told by its type, for nobody knows what is in it."""
    if SECRETS.search(name):
        return "…"
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, bool | int) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return f"<{type(value).__name__}>"
