"""A small collector: takes OTLP over HTTP, as protobuf, on a real socket, and keeps what it is sent."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msgspec import Struct
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class TakenSpan(Struct):
    """A span as it came; ids are hexadecimal, times nanoseconds."""

    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    links: list[tuple[str, str]]
    kind: int
    failed: bool
    began: int
    ended: int


class Collector:
    """What has been sent so far."""

    def __init__(self, status: int = 200, seconds: float = 0.0) -> None:
        self.status = status
        self.seconds = seconds
        self.spans: list[TakenSpan] = []
        self.metrics: dict[str, list[tuple[dict[str, Any], Any]]] = {}
        self.resource: dict[str, Any] = {}
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.url = ""

    @property
    def run(self) -> TakenSpan:
        """The span of the only run."""
        [found] = [span for span in self.spans if span.name.startswith("llmx ")]
        return found

    @property
    def chats(self) -> list[TakenSpan]:
        """Those of calls, in the order of their rows and attempts."""
        found = [span for span in self.spans if span.name.startswith("chat ")]
        return sorted(found, key=lambda one: (one.attributes.get("llmx.row", -1), one.began))

    def value(self, name: str, **attributes: Any) -> Any:
        """The last value of a metric: a number, or count and sum; None where there is none."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        found = [value for about, value in self.metrics.get(name, ()) if about.items() >= wanted.items()]
        return found[-1] if found else None

    def take(self, path: str, body: bytes) -> None:
        """What was posted."""
        self.bodies.append(body)
        if path.endswith("/v1/traces"):
            self._take_spans(ExportTraceServiceRequest.FromString(body))
        else:
            self._take_metrics(ExportMetricsServiceRequest.FromString(body))

    def _take_spans(self, request: Any) -> None:
        for of_resource in request.resource_spans:
            self.resource = _attributes(of_resource.resource.attributes)
            for scope in of_resource.scope_spans:
                self.spans += map(_span, scope.spans)

    def _take_metrics(self, request: Any) -> None:
        for of_resource in request.resource_metrics:
            self.resource = _attributes(of_resource.resource.attributes)
            for scope in of_resource.scope_metrics:
                for metric in scope.metrics:
                    self.metrics.setdefault(metric.name, []).extend(_points(metric))


def _span(span: Any) -> TakenSpan:
    return TakenSpan(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        _attributes(span.attributes),
        [(event.name, _attributes(event.attributes)) for event in span.events],
        [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        span.kind,
        span.status.code == 2,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)


def _points(metric: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    kind = metric.WhichOneof("data")
    for point in getattr(metric, kind).data_points:
        value = (point.count, point.sum) if kind == "histogram" else getattr(point, point.WhichOneof("value"))
        yield _attributes(point.attributes), value


@contextmanager
def collecting(status: int = 200, seconds: float = 0.0, port: int = 0) -> Iterator[Collector]:
    """A collector for as long as the context lasts.

    Args:
        status: of its answers; only what it takes with 200 is kept.
        seconds: after which it answers.
    """
    collector = Collector(status, seconds)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            collector.headers.append({name.lower(): value for name, value in self.headers.items()})
            time.sleep(collector.seconds)
            if collector.status == 200:
                collector.take(self.path, body)
            self.send_response(collector.status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="collector")
    thread.start()
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
