"""Which of OpenTelemetry's standard variables ask for what; nothing of OpenTelemetry is imported for it.

Sources: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ and
https://opentelemetry.io/docs/specs/otel/protocol/exporter/. Beyond them: nothing is exported unless a variable says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

__all__ = ["Asked", "asked"]

EXPORTERS = ("otlp", "console")
PROTOCOL = "http/protobuf"


class Asked(Struct, frozen=True):
    """What is to be told.

    Args:
        traces, metrics: to whom: "otlp", "console", or both.
        variable: the one that asks, the first of several.
        problems: what is asked for and cannot be had, a line each.
    """

    traces: tuple[str, ...]
    metrics: tuple[str, ...]
    variable: str
    problems: tuple[str, ...] = ()


def asked(variables: Mapping[str, str]) -> Asked | None:
    """What the variables ask for, None for nothing, as nearly always."""
    if not any(name.startswith("OTEL_") for name in variables) or _is_disabled(variables):
        return None
    signals = {signal: _exporters(variables, signal) for signal in ("TRACES", "METRICS")}
    known = {
        signal: tuple(name for name in names if name in EXPORTERS) for signal, (names, _) in signals.items()
    }
    problems = tuple(_problems(variables, {signal: names for signal, (names, _) in signals.items()}))
    if not any(known.values()) and not problems:
        return None
    named = next((variable for _, variable in signals.values() if variable), "")
    return Asked(known["TRACES"], known["METRICS"], named, problems)


def _is_disabled(variables: Mapping[str, str]) -> bool:
    return variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def _exporters(variables: Mapping[str, str], signal: str) -> tuple[tuple[str, ...], str]:
    """To whom a signal goes, and which variable says so; an empty variable is as good as none."""
    name = f"OTEL_{signal}_EXPORTER"
    if said := variables.get(name, "").strip():
        names = [part.strip().lower() for part in said.split(",")]
        return tuple(dict.fromkeys(part for part in names if part and part != "none")), name
    for endpoint in (f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        if variables.get(endpoint, "").strip():
            return ("otlp",), endpoint
    return (), ""


def _problems(variables: Mapping[str, str], exporters: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for signal, names in exporters.items():
        for name in names:
            if name not in EXPORTERS:
                yield f"OTEL_{signal}_EXPORTER: {name!r} is not among otlp, console and none"
        for variable in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
            if "otlp" in names and (protocol := variables.get(variable, "").strip()):
                if protocol != PROTOCOL:
                    yield f"{variable}: {protocol!r} is not spoken, {PROTOCOL} is"
                break
