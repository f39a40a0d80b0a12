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
    traces, metrics = (_Signal.of(variables, name) for name in ("TRACES", "METRICS"))
    problems = tuple(dict.fromkeys([*traces.problems(variables), *metrics.problems(variables)]))
    if not (traces.exporters or metrics.exporters):
        return None
    return Asked(
        traces.kept(variables), metrics.kept(variables), traces.variable or metrics.variable, problems
    )


def _is_disabled(variables: Mapping[str, str]) -> bool:
    return variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


class _Signal(Struct, frozen=True):
    """What is asked for of one signal.

    Args:
        name: in variables: "TRACES" or "METRICS".
        exporters: as they are named, unknown ones, too.
        variable: the one that asks.
    """

    name: str
    exporters: tuple[str, ...] = ()
    variable: str = ""

    @classmethod
    def of(cls, variables: Mapping[str, str], name: str) -> _Signal:
        """To whom a signal goes, and which variable says so; an empty variable is as good as none."""
        variable = f"OTEL_{name}_EXPORTER"
        if said := variables.get(variable, "").strip():
            names = dict.fromkeys(part.strip().lower() for part in said.split(","))
            return cls(name, tuple(part for part in names if part not in ("", "none")), variable)
        for endpoint in _endpoints(name):
            if variables.get(endpoint, "").strip():
                return cls(name, ("otlp",), endpoint)
        return cls(name)

    def kept(self, variables: Mapping[str, str]) -> tuple[str, ...]:
        """Those that can be had."""
        dropped = {"otlp"} if self._wrong_address(variables) else set()
        return tuple(name for name in self.exporters if name in EXPORTERS and name not in dropped)

    def problems(self, variables: Mapping[str, str]) -> Iterator[str]:
        """What cannot be had."""
        for name in self.exporters:
            if name not in EXPORTERS:
                yield f"OTEL_{self.name}_EXPORTER: {name!r} is not among otlp, console and none"
        if "otlp" not in self.exporters:
            return
        if wrong := self._wrong_address(variables):
            yield f"{wrong} is no address that begins with http:// or https://: nothing is sent there"
        for variable in (f"OTEL_EXPORTER_OTLP_{self.name}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
            if protocol := variables.get(variable, "").strip():
                if protocol != PROTOCOL:
                    yield f"{variable}: {protocol!r} is not spoken, {PROTOCOL} is"
                return

    def _wrong_address(self, variables: Mapping[str, str]) -> str:
        """The variable that holds no address, "" where none is wrong. Its value may hold a secret."""
        for variable in _endpoints(self.name):
            if address := variables.get(variable, "").strip():
                return "" if address.lower().startswith(("http://", "https://")) else variable
        return ""


def _endpoints(name: str) -> tuple[str, str]:
    """Where addresses are, the one that wins first."""
    return f"OTEL_EXPORTER_OTLP_{name}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
