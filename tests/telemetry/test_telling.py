"""Real runs tell a real collector over a real socket, and none fails or waits because of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from collector import Collector, collecting
from commands import Llmx, Mock, wait_for
from rehearsal import some_rows, write_rows

from llmx.events import Event, RunEnded
from llmx.mock import Latency, MockSettings
from llmx.telemetry.telling import ToldRun

COMMAND = ("extract", "rows.jsonl", "-s", "name, age int", "-o", "out.jsonl")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
ENDED = 4.0
"""Seconds within which a run of ten rows ends that waits for nobody, on a machine that does much else."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


def told(collector: Collector, **more: str) -> dict[str, str]:
    """The variables that name a collector."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **more}


def warnings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("warning: ")]


def test_a_run_arrives_with_the_right_figures(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], collector: Collector
):
    """Spans and metrics are what the server and the summary count, retries and re-asks included."""
    mock = provider(MockSettings(error_rate=0.3, malformed_rate=0.3, cached_share=0.5, seed=5))
    rows = write_rows(llmx.cwd / "rows.jsonl", some_rows(30))
    done = llmx(
        *COMMAND, *mock.openai, "--summary", "s.json", **told(collector, OPENAI_API_KEY="sk-of-nobody")
    )
    figures = json.loads((llmx.cwd / "s.json").read_text())
    run, chats = collector.run, collector.chats
    assert done.code == run.attributes["process.exit.code"]
    assert run.attributes["llmx.rows"] == run.attributes["llmx.rows.expected"] == 30
    assert run.attributes["llmx.rows.failed"] == figures["rows"]["failed"]
    assert len(chats) == run.attributes["llmx.calls"] == mock.calls == figures["calls"]
    assert {(chat.trace, chat.parent) for chat in chats} == {(run.trace, run.id)}
    events = [name for chat in chats for name, _ in chat.events]
    assert events.count("llmx.retry") == figures["retries"] > 0
    assert events.count("llmx.reask") == figures["reasks"] > 0
    for direction in ("input", "output"):
        used = sum(chat.attributes.get(f"gen_ai.usage.{direction}_tokens", 0) for chat in chats)
        answered = sum(not chat.failed for chat in chats)
        told_of = collector.value("gen_ai.client.token.usage", gen_ai__token__type=direction)
        assert told_of == (answered, used) == (answered, figures["tokens"][direction])
    assert collector.value("llmx.rows", llmx__outcome="ok") == figures["rows"]["ok"]
    assert collector.value("llmx.retries") == figures["retries"]
    assert collector.value("llmx.reasks") == figures["reasks"]
    assert collector.value("llmx.in_flight") == collector.value("llmx.circuit.open") == 0
    calls = [count for _, (count, _) in collector.metrics["gen_ai.client.operation.duration"]]
    assert sum(calls) == mock.calls
    texts = [json.loads(line)["text"] for line in rows.read_text().splitlines()]
    sent = b"".join(collector.bodies)
    assert [text for text in [*texts, "sk-of-nobody"] if text.encode() in sent] == []


def test_several_processes_are_one_run(llmx: Llmx, mock: Mock, rows: Path, collector: Collector):
    """With --workers, what the workers do is told by their owner."""
    assert llmx(*COMMAND, *mock.openai, "--workers", "2", **told(collector, OPENAI_API_KEY="x")).code == 0
    assert sorted(chat.attributes["llmx.row"] for chat in collector.chats) == list(range(10))
    assert {chat.parent for chat in collector.chats} == {collector.run.id}
    assert collector.value("llmx.rows", llmx__source="model") == 10


def test_a_retry_is_a_run_of_its_own(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path, collector: Collector
):
    """By its name, about the failed rows alone."""
    mock = provider(MockSettings(fail_first=1, error_statuses=(500,)))
    options = ("--retries", "0", "-c", "1", *mock.openai)
    assert llmx(*COMMAND, *options, **told(collector, OPENAI_API_KEY="x")).code == 3
    assert collector.run.attributes["error.type"] == "rows_failed"
    assert collector.run.failed
    collector.spans.clear()
    assert llmx("retry", "out.jsonl", **told(collector, OPENAI_API_KEY="x")).code == 0
    assert collector.run.name == "llmx retry"
    assert [chat.attributes["llmx.row"] for chat in collector.chats] == [0]


def test_a_run_joins_the_trace_of_its_job(llmx: Llmx, mock: Mock, rows: Path, collector: Collector):
    """TRACEPARENT, as CI sets it, names what the run is part of; what is not sampled there is not here."""
    joined = told(collector, OPENAI_API_KEY="x", TRACEPARENT=f"{PARENT}-01")
    assert llmx(*COMMAND, *mock.openai, **joined).code == 0
    assert (collector.run.trace, collector.run.parent) == tuple(PARENT.split("-")[1:])
    collector.spans.clear()
    unwanted = {**joined, "TRACEPARENT": f"{PARENT}-00"}
    assert llmx(*COMMAND, *mock.openai, "--fresh", **unwanted).code == 0
    assert collector.spans == []
    assert llmx(*COMMAND, *mock.openai, "--fresh", **{**joined, "TRACEPARENT": "nonsense"}).code == 0
    assert collector.run.parent == ""


def test_the_model_s_server_is_told_of_no_trace(llmx: Llmx, rows: Path, collector: Collector):
    """It is another party's."""
    with collecting(status=400) as model:
        address = ("-m", "openai/mock", "--base-url", f"{model.url}/v1")
        parent = told(collector, OPENAI_API_KEY="x", TRACEPARENT=f"{PARENT}-01")
        llmx(*COMMAND, *address, **parent)
    assert model.headers
    assert {name for headers in model.headers for name in headers} & {"traceparent", "tracestate"} == set()


def test_the_standard_variables_say_who_and_how(llmx: Llmx, mock: Mock, rows: Path, collector: Collector):
    """Names, headers, which are secret, compression, and a sampler."""
    named = told(
        collector,
        OPENAI_API_KEY="x",
        OTEL_SERVICE_NAME="nightly",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=ci",
        OTEL_EXPORTER_OTLP_HEADERS="x-token=hunter2",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
        OTEL_TRACES_SAMPLER="always_off",
    )
    done = llmx(*COMMAND, *mock.openai, **named)
    assert collector.resource["service.name"] == "nightly"
    assert collector.resource["deployment.environment.name"] == "ci"
    assert {headers["x-token"] for headers in collector.headers} == {"hunter2"}
    assert (collector.spans, collector.value("llmx.rows")) == ([], 10)
    assert warnings(done.err) == []
    assert "hunter2" not in done.err


def test_who_does_not_say_is_called_llmx(llmx: Llmx, mock: Mock, rows: Path, collector: Collector):
    """With its version."""
    assert llmx(*COMMAND, *mock.openai, **told(collector, OPENAI_API_KEY="x")).code == 0
    assert collector.resource["service.name"] == "llmx"
    assert collector.resource["service.version"]


@pytest.mark.parametrize(
    ("variables", "spans", "figures"),
    [
        ({"OTEL_TRACES_EXPORTER": "none"}, 0, 10),
        ({"OTEL_METRICS_EXPORTER": "none"}, 11, None),
        ({"OTEL_SDK_DISABLED": "true"}, 0, None),
    ],
)
def test_what_is_switched_off_is_not_sent(
    llmx: Llmx,
    mock: Mock,
    rows: Path,
    collector: Collector,
    variables: dict[str, str],
    spans: int,
    figures: int | None,
):
    """One signal, or all."""
    assert llmx(*COMMAND, *mock.openai, **told(collector, OPENAI_API_KEY="x", **variables)).code == 0
    assert (len(collector.spans), collector.value("llmx.rows")) == (spans, figures)


def test_the_console_is_standard_error(llmx: Llmx, mock: Mock, rows: Path):
    """Standard output carries rows and nothing else."""
    both = {"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "console"}
    done = llmx("extract", "rows.jsonl", "-s", "name, age int", *mock.openai, OPENAI_API_KEY="x", **both)
    assert len(done.rows) == 10
    told = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    assert sum(one.get("name") == "chat mock" for one in told) == 10
    assert sum("resource_metrics" in one for one in told) == 1


# What does not work


def test_a_collector_that_is_dead_is_one_line(llmx: Llmx, mock: Mock, rows: Path):
    """The run is as good as any, ends soon, and shows no password."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        begun = time.monotonic()
        dead = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://me:hunter2@{address}"}
        done = llmx(*COMMAND, *mock.openai, OPENAI_API_KEY="x", **dead)
        seconds = time.monotonic() - begun
    assert done.code == 0
    assert len((llmx.cwd / "out.jsonl").read_text().splitlines()) == 10
    said = f"warning: spans and metrics do not reach http://{address} (connection refused); the run goes on without"
    assert warnings(done.err) == [said]
    assert len(done.err.splitlines()) == 4
    assert seconds < ENDED


@pytest.mark.parametrize(
    ("status", "reason"), [(503, "service unavailable"), (401, "HTTP 401"), (404, "HTTP 404")]
)
def test_a_collector_that_refuses_is_one_line(llmx: Llmx, mock: Mock, rows: Path, status: int, reason: str):
    """With why."""
    with collecting(status) as refusing:
        done = llmx(*COMMAND, *mock.openai, **told(refusing, OPENAI_API_KEY="x"))
    assert done.code == 0
    said = f"warning: spans and metrics do not reach {refusing.url} ({reason}); the run goes on without"
    assert warnings(done.err) == [said]


def test_a_collector_that_hangs_is_not_waited_for(llmx: Llmx, mock: Mock, rows: Path):
    """The end of a run waits for some seconds, and no longer."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        begun = time.monotonic()
        at = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        done = llmx(*COMMAND, *mock.openai, OPENAI_API_KEY="x", **at)
        seconds = time.monotonic() - begun
    assert done.code == 0
    assert 5 <= seconds < 5 + ENDED
    assert len(warnings(done.err)) == 1
    assert "(no answer in time)" in done.err


def test_a_queue_that_is_full_says_how_much_was_lost(llmx: Llmx, mock: Mock):
    """It is bounded; what a collector cannot take in time is counted."""
    write_rows(llmx.cwd / "rows.jsonl", some_rows(300))
    small = {"OTEL_BSP_MAX_QUEUE_SIZE": "1", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "1"}
    with collecting(seconds=0.2) as slow:
        done = llmx(
            *COMMAND, *mock.openai, **told(slow, OPENAI_API_KEY="x", OTEL_METRICS_EXPORTER="none", **small)
        )
    assert done.code == 0
    lost = 301 - len(slow.spans)
    assert lost > 0
    [said] = warnings(done.err)
    assert said.startswith(f"warning: {lost} of 301 spans could not be sent")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OTEL_TRACES_SAMPLER": "most"}, "most"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-5"}, "max_queue_size"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "'grpc' is not spoken"),
        ({"OTEL_TRACES_EXPORTER": "jaeger"}, "'jaeger' is not among"),
    ],
)
def test_a_variable_that_is_wrong_is_one_line(
    llmx: Llmx, mock: Mock, rows: Path, collector: Collector, variables: dict[str, str], said: str
):
    """And the run goes on, told or not."""
    done = llmx(*COMMAND, *mock.openai, **told(collector, OPENAI_API_KEY="x", **variables))
    assert done.code == 0
    [line] = warnings(done.err)
    assert said in line


def test_a_run_that_is_told_to_stop_says_so(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path, collector: Collector
):
    """With its exit code, and what it had done; the command to go on with is the last line."""
    mock = provider(MockSettings(latency=Latency(0.2, 0.2)))
    options = (*COMMAND, *mock.openai, "-c", "1")
    running, _, err = llmx.piped(*options, **told(collector, OPENAI_API_KEY="x"))
    wait_for(lambda: mock.calls >= 2)
    running.signal(signal.SIGTERM)
    assert running.wait() == 143
    assert collector.run.attributes["process.exit.code"] == 143
    assert collector.run.attributes["error.type"] == "interrupted"
    assert len(collector.chats) == mock.calls
    assert err.read_text().splitlines()[-1].startswith("resume: llmx extract")


def test_what_is_killed_is_told_as_far_as_it_was_sent(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path, collector: Collector
):
    """The next run tells of what it does itself: all calls of both are there once."""
    mock = provider(MockSettings(latency=Latency(0.1, 0.1)))
    options = (*COMMAND, *mock.openai, "-c", "1")
    variables = told(collector, OPENAI_API_KEY="x", OTEL_BSP_SCHEDULE_DELAY="20")
    running, _, _ = llmx.piped(*options, **variables)
    wait_for(lambda: len(collector.chats) >= 2)
    running.signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    before = len(collector.chats)
    assert [span for span in collector.spans if span.name == "llmx extract"] == []
    assert llmx(*options, **variables).code == 0
    assert collector.run.attributes["llmx.rows"] == 10
    asked = [chat.attributes["llmx.row"] for chat in collector.chats]
    assert set(asked) | set(range(before)) == set(range(10))
    assert len(asked) == len(set(asked))
    assert collector.value("llmx.rows", llmx__source="model") <= 10 - before


def test_a_run_that_cannot_begin_is_told_too(llmx: Llmx, mock: Mock, rows: Path, collector: Collector):
    """With the exit code that a job of CI saw."""
    done = llmx(*COMMAND, "-m", "openai/mock", **told(collector))
    assert done.code == collector.run.attributes["process.exit.code"] == 4
    assert collector.run.attributes["error.type"] == "authentication_failed"
    assert collector.chats == []


def test_what_fails_in_telling_fails_no_run():
    """It is said once, and nothing more is told."""
    heard: list[Event] = []

    def broken(event: Event) -> None:
        heard.append(event)
        raise RuntimeError("a bug")

    said: list[str] = []
    run = ToldRun([broken], said.append, None, None)
    for _ in range(3):
        run(RunEnded(True))
    assert len(heard) == 1
    assert said == ["warning: telemetry has failed (RuntimeError); the run goes on without it"]


# Processes of their own

ENTRY = """
import atexit, sys
from llmx.__main__ import entry
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
entry()
"""

WITHOUT = """
import sys
sys.modules["opentelemetry.sdk"] = None  # as where the extra is not installed
from llmx.__main__ import entry
entry()
"""


def python(program: str, cwd: Path, *argv: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Python in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", program, *argv],
        cwd=cwd,
        env={**os.environ, "OPENAI_API_KEY": "x", **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    "variables", [{}, {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}]
)
def test_who_is_not_asked_imports_nothing(llmx: Llmx, mock: Mock, rows: Path, variables: dict[str, str]):
    """Neither OpenTelemetry, nor prometheus_client, nor what we make of events."""
    done = python(ENTRY, llmx.cwd, *COMMAND, *mock.openai, **variables)
    assert done.returncode == 0, done.stderr
    imported = set(done.stderr.splitlines()[-1].split())
    assert "llmx.job" in imported
    assert {name for name in imported if name.startswith(("opentelemetry", "prometheus_client"))} == set()
    assert {name for name in imported if name.startswith("llmx.telemetry.")} == {"llmx.telemetry.asked"}


def test_where_the_extra_is_missing_it_is_one_line(llmx: Llmx, mock: Mock, rows: Path, collector: Collector):
    """With what to install; the run goes on."""
    done = python(WITHOUT, llmx.cwd, *COMMAND, *mock.openai, **told(collector))
    assert done.returncode == 0
    assert warnings(done.stderr) == [
        "warning: OTEL_EXPORTER_OTLP_ENDPOINT asks for telemetry, and OpenTelemetry is not installed "
        "(install the extra: llmx-extract[otel])"
    ]
    assert collector.bodies == []


LIBRARY = """
import sys, llmx
for name in ("Ada", "Bob"):
    outcomes = llmx.extract([{"text": name}], "name, age int", model="openai/mock", base_url=sys.argv[1], cache="off")
    assert outcomes[0].ok
"""


def test_the_library_tells_at_its_process_s_end(llmx: Llmx, mock: Mock, collector: Collector):
    """Each extraction is a run; nothing is to be called for it."""
    parent = f"{PARENT}-01"
    done = python(LIBRARY, llmx.cwd, f"{mock.url}/v1", **told(collector, TRACEPARENT=parent))
    assert (done.returncode, done.stderr) == (0, "")
    runs = [span for span in collector.spans if span.name == "llmx extract"]
    assert [run.parent for run in runs] == [PARENT.split("-")[2]] * 2
    assert {chat.parent for chat in collector.chats} == {run.id for run in runs}
    assert "process.exit.code" not in runs[0].attributes
    assert collector.value("llmx.rows") == 2


TIMED = f"""
import atexit, time
ended = 0.0
atexit.register(lambda: print(time.monotonic() - ended))
{LIBRARY}
ended = time.monotonic()
"""


def test_a_collector_that_is_dead_does_not_hold_up_a_program(llmx: Llmx, mock: Mock):
    """Nor does it print for each failure."""
    dead = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    done = python(TIMED, llmx.cwd, f"{mock.url}/v1", **dead)
    assert (done.returncode, done.stderr) == (0, "")
    assert float(done.stdout) < ENDED


APPLICATION = """
import sys, llmx
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

class Shown(SpanExporter):
    def export(self, spans):
        for span in spans:
            print(span.name, f"{span.context.trace_id:032x}")

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(Shown()))
trace.set_tracer_provider(provider)
with trace.get_tracer("application").start_as_current_span("job"):
    llmx.extract([{"text": "Ada"}], "name, age int", model="openai/mock", base_url=sys.argv[1])
"""


def test_an_application_s_own_providers_are_used(llmx: Llmx, mock: Mock, collector: Collector):
    """Its spans and ours are one trace, and nothing is exported past it."""
    done = python(APPLICATION, llmx.cwd, f"{mock.url}/v1", **told(collector))
    assert done.returncode == 0, done.stderr
    shown = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
    assert [name for name, _ in shown] == ["chat mock", "llmx extract", "job"]
    assert len({trace for _, trace in shown}) == 1
    assert collector.bodies == []
