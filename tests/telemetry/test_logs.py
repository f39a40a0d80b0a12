"""The process's log: every record is a line, and no secret is in any."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import wait_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmx.errors import UsageError
from llmx.telemetry.logs import LogFormat, bound, configure_logs, uvicorn_logs
from llmx.telemetry.masking import masked


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """The loggers of the test process are put back."""
    root = logging.getLogger()
    names = ("llmx", "uvicorn", "uvicorn.access", "uvicorn.error")
    kept = root.handlers[:], root.level, [logging.getLogger(name).level for name in names]
    yield
    root.handlers[:], levels = kept[0], kept[2]
    root.setLevel(kept[1])
    for name, level in zip(names, levels, strict=True):
        logging.getLogger(name).setLevel(level)


class Logged:
    """A log whose lines are read as they were written."""

    def __init__(self, level: str = "info", format: LogFormat = "json") -> None:
        self._stream = io.StringIO()
        configure_logs(self._stream, level, format)
        self.logger = logging.getLogger("llmx.test")

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


def test_a_record_is_one_line_of_json():
    """With its time in UTC, its level, who said it, and the fields that it was given."""
    log = Logged()
    log.logger.warning("shard %d of %d is late", 3, 8, extra={"seconds": 1.5, "late": True})
    [line] = log.lines
    time = line.pop("time")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert line == {
        "level": "warning",
        "logger": "llmx.test",
        "message": "shard 3 of 8 is late",
        "seconds": 1.5,
        "late": True,
    }


def test_the_time_is_the_record_s():
    """To the millisecond, whatever the zone of the machine."""
    log = Logged()
    record = log.logger.makeRecord("llmx", logging.INFO, "f", 1, "m", (), None)
    record.created = 1_795_862_261.25
    log.logger.handle(record)
    assert log.lines[0]["time"] == "2026-11-28T10:37:41.250Z"


async def test_what_is_bound_is_in_the_lines_of_its_task_alone():
    """A request's lines carry its id; those of another, at the same time, carry the other's."""
    log = Logged()

    async def request(name: str) -> None:
        with bound(request_id=name):
            await asyncio.sleep(0)
            log.logger.info("begun")
            with bound(job_id=7, request_id=None):
                await asyncio.sleep(0)
                log.logger.info("job")
        log.logger.info("ended")

    await asyncio.gather(request("a"), request("b"))
    assert {(line["message"], line.get("request_id"), line.get("job_id")) for line in log.lines} == {
        ("begun", "a", None),
        ("begun", "b", None),
        ("job", None, 7),
        ("ended", None, None),
    }


SECRETS = [
    "sk-proj-abcdefghijklmnop",
    "sk-ant-api03-abcdefghijkl",
    "gsk_abcdefghijklmnop",
    "AIzaSyA1234567890abcdef",
    "hf_abcdefghijklmnop",
    "llmx_9f8e7d6c5b4a39281706",
]
PLACES = [
    "{}",
    "refused: {}.",
    "Authorization: Bearer {}",
    '{{"authorization": "Bearer {}"}}',
    "http://me:{}@127.0.0.1:8000/v1",
    "redis://:{}@host/0",
    "GET /v1/jobs?api_key={}&x=1",
    "password={} user=me",
    "Cookie: {}",
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("format", ["json", "text"])
def test_no_secret_is_in_a_line(secret: str, place: str, format: LogFormat):
    """In a message, its arguments, a field or what is bound."""
    log = Logged(format=format)
    with bound(client=place.format(secret)):
        log.logger.info("said %s", place.format(secret), extra={"url": place.format(secret)})
        log.logger.info(place.format(secret))
    assert log.text.count("\n") == 2
    assert secret not in log.text


@pytest.mark.parametrize("secret", ["hunter2", "correcthorse", "QUJDREVGRw=="])
@pytest.mark.parametrize("place", PLACES[2:])
def test_a_password_of_no_known_form_is_masked_by_its_place(secret: str, place: str):
    """Behind a name that says so, or in an address."""
    assert secret not in masked(place.format(secret))


@pytest.mark.parametrize(
    "text",
    [
        "12,345 tokens, 3 retries",
        "max_tokens=100 rpm=500",
        "http://127.0.0.1:8000/v1/chat",
        "see llmx_rows_total",
        "the key of row 5 is 'a@b.c'",
    ],
)
def test_what_is_no_secret_stays(text: str):
    """Masking takes nothing from a line that has none."""
    assert masked(text) == text


def test_a_secret_s_name_hides_its_value():
    """Whatever it is."""
    log = Logged()
    log.logger.info("x", extra={"api_key": "abc", "webhook_secret": 5})
    assert (log.lines[0]["api_key"], log.lines[0]["webhook_secret"]) == ("…", "…")


def test_contents_are_left_out():
    """Fields that would hold rows or answers, and whatever has a form that nobody knows."""
    log = Logged()
    log.logger.info("x", extra={"row": {"text": "Ada"}, "prompt": "Ada", "found": ["Ada"], "rows": "Ada"})
    assert "Ada" not in log.text
    assert log.lines[0]["found"] == "<list>"


def test_an_exception_is_told_by_type_and_place():
    """Its words may quote a row."""
    log = Logged()
    try:
        raise ValueError("Ada Lovelace is no number")
    except ValueError:
        log.logger.exception("a shard failed")
    [line] = log.lines
    assert "Lovelace" not in log.text
    assert line["error_type"] == "ValueError"
    assert "test_logs.py" in line["error_at"]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(alphabet=st.characters(), max_size=40), st.text(alphabet=st.characters(), max_size=40))
def test_any_text_is_one_harmless_line(message: str, field: str):
    """No control, no bidirectional mark and no lone surrogate leaves it, and JSON readers get it back."""
    for format in ("json", "text"):
        log = Logged(format=format)
        log.logger.info("%s", message, extra={"field": field})
        assert log.text.encode("utf-8").count(b"\n") == 1
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", log.text)
        if format == "json":
            [line] = log.lines
            assert (line["message"], line["field"]) == (masked(message), masked(field))


def test_text_is_for_people():
    """Fields behind the message, quoted where they have to be."""
    log = Logged(format="text")
    with bound(request_id="r1"):
        log.logger.info("done\nnow", extra={"file": "a b.jsonl", "rows_ok": 5})
    assert (
        log.text.partition("Z ")[2] == 'INFO llmx.test: done now request_id=r1 file="a b.jsonl" rows_ok=5\n'
    )


def test_wrong_arguments_fail_nobody():
    """A record that cannot be formatted is told as it is."""
    log = Logged()
    log.logger.info("%d rows", "many")
    assert log.lines[0]["message"] == "%d rows"


def test_a_stream_that_is_closed_fails_nobody(capsys: pytest.CaptureFixture[str]):
    """Nor floods standard error."""
    stream = io.StringIO()
    configure_logs(stream)
    stream.close()
    logging.getLogger("llmx").info("x")
    assert capsys.readouterr().err == ""


def test_others_are_heard_from_warnings_on():
    """A library's chatter is not ours."""
    log = Logged("debug")
    logging.getLogger("somebody").info("chatter")
    logging.getLogger("somebody").warning("trouble")
    log.logger.debug("detail")
    assert [line["message"] for line in log.lines] == ["trouble", "detail"]


def test_the_trace_is_told_where_there_is_one():
    """Of the span that is being made."""
    from opentelemetry.sdk.trace import TracerProvider

    log = Logged()
    with TracerProvider(shutdown_on_exit=False).get_tracer("t").start_as_current_span("s") as span:
        log.logger.info("within")
    log.logger.info("without")
    within, without = log.lines
    assert within["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert within["span_id"] == f"{span.get_span_context().span_id:016x}"
    assert "trace_id" not in without


@pytest.mark.parametrize(("level", "format"), [("loud", "json"), ("info", "xml")])
def test_what_there_is_not_is_refused(level: str, format: LogFormat):
    """With what there is."""
    with pytest.raises(UsageError, match=level if level == "loud" else format):
        configure_logs(io.StringIO(), level, format)


SERVER = """
import sys, uvicorn
from llmx.telemetry.logs import configure_logs, uvicorn_logs

async def app(scope, receive, send):
    if scope["type"] == "http":
        if scope["path"] == "/broken":
            raise ValueError("Ada Lovelace is no number")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

configure_logs()
uvicorn.run(app, port=int(sys.argv[1]), log_config=uvicorn_logs(), lifespan="off")
"""


def test_uvicorn_s_lines_are_ours(tmp_path: Path):
    """All that a real server says is JSON; a request's line has no query, a bug's no words."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        server = subprocess.Popen([sys.executable, "-c", SERVER, str(port)], stderr=stderr, stdout=stderr)
    try:
        wait_for(lambda: b"running on" in log.read_bytes())
        url = f"http://127.0.0.1:{port}"
        urllib.request.urlopen(f"{url}/v1/jobs?api_key=hunter2").close()
        with pytest.raises(urllib.request.HTTPError) as error:
            urllib.request.urlopen(f"{url}/broken")
        error.value.close()
    finally:
        os.kill(server.pid, signal.SIGTERM)
        server.wait()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    [answered, failed] = [line for line in lines if line["logger"] == "uvicorn.access"]
    assert answered["message"] == "GET /v1/jobs 200"
    assert (answered["method"], answered["path"], answered["status"]) == ("GET", "/v1/jobs", 200)
    assert failed["status"] == 500
    [bug] = [line for line in lines if "error_type" in line]
    assert bug["error_type"] == "ValueError"
    assert "Lovelace" not in log.read_text()
    assert "hunter2" not in log.read_text()


def test_uvicorn_s_level_is_checked():
    """As ours is."""
    with pytest.raises(UsageError):
        uvicorn_logs("loud")
