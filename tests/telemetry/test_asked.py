"""Nothing is told unless a standard variable says so; which says what."""

from __future__ import annotations

import pytest

from llmx.telemetry.asked import asked

AT = "http://collector:4318"
EVERYWHERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": AT}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        {"OTEL_SERVICE_NAME": "nightly", "OTEL_TRACES_SAMPLER": "always_on"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_LOGS_EXPORTER": "otlp"},
        {**EVERYWHERE, "OTEL_SDK_DISABLED": "True"},
        {**EVERYWHERE, "OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"},
    ],
)
def test_nobody_asks(variables: dict[str, str]):
    """Names, samplers and parents ask for nothing by themselves, and what is switched off is off."""
    assert asked(variables) is None


@pytest.mark.parametrize(
    ("variables", "traces", "metrics", "named"),
    [
        (EVERYWHERE, ["otlp"], ["otlp"], "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({**EVERYWHERE, "OTEL_METRICS_EXPORTER": "none"}, ["otlp"], [], "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{AT}/v1/traces"},
            ["otlp"],
            [],
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        ),
        (
            {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": AT},
            [],
            ["otlp"],
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        ),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ["otlp"], [], "OTEL_TRACES_EXPORTER"),
        (
            {"OTEL_TRACES_EXPORTER": "Console, otlp,console"},
            ["console", "otlp"],
            [],
            "OTEL_TRACES_EXPORTER",
        ),
        (
            {**EVERYWHERE, "OTEL_TRACES_EXPORTER": "console"},
            ["console"],
            ["otlp"],
            "OTEL_TRACES_EXPORTER",
        ),
        ({**EVERYWHERE, "OTEL_SDK_DISABLED": "false"}, ["otlp"], ["otlp"], "OTEL_EXPORTER_OTLP_ENDPOINT"),
    ],
)
def test_what_is_asked_for(variables: dict[str, str], traces: list[str], metrics: list[str], named: str):
    """An exporter by its name, or an address, which asks for OTLP."""
    found = asked(variables)
    assert found is not None
    assert (list(found.traces), list(found.metrics)) == (traces, metrics)
    assert found.variable == named
    assert found.problems == ()


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER: 'zipkin' is not among"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "u:hunter2@collector:4317"},
            "OTEL_EXPORTER_OTLP_ENDPOINT is no address",
        ),
        (
            {**EVERYWHERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' is not spoken",
        ),
        (
            {**EVERYWHERE, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json' is not spoken",
        ),
    ],
)
def test_what_cannot_be_had_is_one_line(variables: dict[str, str], problem: str):
    """It names the variable, once, and shows no address."""
    found = asked(variables)
    assert found is not None
    assert len(found.problems) == 1
    assert found.problems[0].startswith(problem)
    assert "hunter2" not in found.problems[0]


def test_a_wrong_address_is_not_tried():
    """Nor is the other signal's, which is another, held back by it."""
    found = asked({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "collector:4317", **EVERYWHERE})
    assert found is not None
    assert (found.traces, found.metrics) == ((), ("otlp",))
