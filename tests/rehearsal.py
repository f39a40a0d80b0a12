"""Whole runs, files to files, against `llmx mock` over real sockets, in time that does not pass.

Client and server share one event loop. As long as bytes are moving, time stands still; when nothing moves, it
jumps to the next timer. So a minute of pacing, backoff or hanging costs milliseconds, and the SDKs are real.
"""

from __future__ import annotations

import asyncio
import io
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson
from fakes import LoopClock

from llmx.environment import Environment
from llmx.job import Report, execute
from llmx.layers.stop import Stop
from llmx.mock import MockSettings
from llmx.mock.server import Server, serve
from llmx.planning import plan
from llmx.records import to_json
from llmx.report.summary import Figures
from llmx.settings import Settings

T = TypeVar("T")

QUIET = 0.004
"""Real seconds without a byte after which nothing more is on its way."""

LONG = 10.0
"""Simulated seconds from which a jump is a time limit's end rather than pacing: threads get time to finish first."""

QUIET_BEFORE_LONG = 0.3
"""Real seconds without a byte before a long jump. The SDKs' first call looks around in a thread."""

TICK = 1e-7
"""Simulated seconds that a jump goes too far, or rounding would end it before its timer."""

STUCK = 20.0
"""Real seconds without a byte and without a timer after which a run is deadlocked."""


class _PatientSelector(selectors.DefaultSelector):
    """Looks for bytes first, and moves the clock to the next timer only when there are none."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            events = super().select(STUCK)
            if not events:
                raise RuntimeError("deadlock: no timer, no byte and no thread is left to wake the loop")
            return events
        events = super().select(min(timeout, QUIET if timeout < LONG else QUIET_BEFORE_LONG))
        if not events:
            self.now += timeout + TICK
        return events


class SocketLoop(asyncio.SelectorEventLoop):
    """An event loop with real sockets and simulated time."""

    def __init__(self) -> None:
        self._patient = _PatientSelector()
        super().__init__(self._patient)

    def time(self) -> float:
        return self._patient.now


def in_simulated_time(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `main` to its end in a `SocketLoop`."""
    with asyncio.Runner(loop_factory=SocketLoop) as runner:
        return runner.run(main())


class Talk:
    """What a run says, kept."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def confirmed(self, question: str) -> bool:
        self.lines.append(question)
        return True

    def downloading(self, done: int, total: int | None) -> None:
        """Weights are there already, or the test is not about them."""

    def showing(self, figures: Figures) -> AbstractAsyncContextManager[None]:
        return nullcontext()


@dataclass(frozen=True)
class Rehearsal:
    """How a run ended, and what the provider saw of it."""

    report: Report
    rows: list[dict[str, Any]]
    errors: list[dict[str, Any]]
    stats: dict[str, Any]
    seconds: float
    said: list[str]
    port: int

    @property
    def figures(self) -> Figures:
        return self.report.figures

    @property
    def ids(self) -> list[Any]:
        return [row["id"] for row in self.rows]

    @property
    def failed_ids(self) -> list[Any]:
        return [row["id"] for row in self.errors]

    @property
    def kinds(self) -> set[str]:
        """The types of the errors."""
        return {row["_error"]["type"] for row in self.errors}


def some_rows(count: int) -> list[dict[str, Any]]:
    """Rows that differ."""
    return [{"id": n, "text": f"Row {n} is by Ada Lovelace of ada{n}@example.org."} for n in range(count)]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file, [] when there is none."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """A JSON Lines file."""
    path.write_bytes(b"".join(to_json(row) + b"\n" for row in rows))
    return path


def options_for(wire: str, url: str) -> dict[str, Any]:
    """The model and address of a simulated provider in one of the two wire formats."""
    if wire == "openai":
        return {"model": "openai/mock", "base_url": f"{url}/v1"}
    return {"model": "anthropic/claude-haiku-4-5", "base_url": url}


async def run_to_files(folder: Path, options: Mapping[str, Any]) -> tuple[Report, Talk]:
    """One run of the composition root, without a terminal."""
    env = Environment(
        stdin=io.BytesIO(), stdout=io.BytesIO(), variables={"LLMX_HOME": str(folder / "home")}, cwd=folder
    )
    clock, talk = LoopClock(), Talk()
    figures = Figures(clock)
    given = {"schema": "name, age int", "output": "out.jsonl", **options}
    planned = plan(Settings.of(given), env)
    report = await execute(planned, stop=Stop(figures.stopped), figures=figures, talk=talk, clock=clock)
    return report, talk


def rehearse(
    folder: Path,
    rows: Iterable[Mapping[str, Any]] | int,
    mock: MockSettings | None = None,
    *,
    wire: str = "openai",
    port: int = 0,
    **options: Any,
) -> Rehearsal:
    """Run rows through the simulated provider, from `in.jsonl` to `out.jsonl`.

    Args:
        rows: the input, or how many rows of `some_rows`.
        port: where the provider listens: that of an earlier run is, to the cache, the same provider.
        options: as on the command line, with underscores.
    """
    given = some_rows(rows) if isinstance(rows, int) else rows
    options = {"inputs": [str(write_rows(folder / "in.jsonl", given))], **options}

    async def against(server: Server) -> tuple[Report, Talk]:
        return await run_to_files(folder, {**options_for(wire, server.url), **options})

    return with_server(folder, mock or MockSettings(), against, port=port)


def with_server(
    folder: Path,
    mock: MockSettings,
    body: Callable[[Server], Awaitable[tuple[Report, Talk]]],
    *,
    port: int = 0,
) -> Rehearsal:
    """Run `body` against a simulated provider of its own, in simulated time."""

    async def main() -> Rehearsal:
        clock = LoopClock()
        async with await serve(mock, port=port, clock=clock) as server:
            report, talk = await body(server)
            return Rehearsal(
                report,
                read_rows(folder / "out.jsonl"),
                read_rows(folder / "out.errors.jsonl"),
                server.stats(),
                clock.now(),
                talk.lines,
                server.port,
            )

    return in_simulated_time(main)


def partial(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run that stopped."""
    return read_rows(folder / "out.jsonl.partial")
