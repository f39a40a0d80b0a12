"""What a run says on standard error: one rich block on a terminal, a plain line now and then elsewhere.

Drawing is driven by a timer of its own, never by rows, so it costs the same at any speed. All text is
shown as text: what comes from data can neither drive the terminal nor be read as markup.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, BinaryIO, TextIO

from llmx.errors import Interrupted, LlmxError
from llmx.report.summary import Figures, duration, money
from llmx.report.traffic import Wait
from llmx.text import harmless, plural

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live
    from rich.progress import Progress, TaskID

__all__ = ["Terminal", "block", "eta", "line", "waiting"]

FRAME = 0.25
"""Seconds between two drawings of the block."""

PLAIN_EVERY = 30.0
"""Seconds between two plain lines."""


class Terminal:
    """Standard error, whatever it is connected to.

    Args:
        rows_on_terminal: the result rows go to the same terminal: they are the progress, a block that
            is redrawn among them would only tear.
        rows_in_pipe: the result rows go to a pipe, and whoever reads it may print them on this terminal: no
            block is redrawn, a plain line now and then tells how far the run is.
        keyboard: where a person answers questions, None when it is no terminal or rows are read from it.
    """

    def __init__(
        self,
        stderr: TextIO,
        *,
        rows_on_terminal: bool = False,
        rows_in_pipe: bool = False,
        keyboard: BinaryIO | None = None,
    ) -> None:
        self._stderr = stderr
        self._keyboard = keyboard
        self._is_terminal = stderr.isatty()
        self._draws = self._is_terminal and not rows_in_pipe
        self._rows_on_terminal = rows_on_terminal
        self._live: Live | None = None
        self._download: _Download | None = None

    def say(self, text: str) -> None:
        """One line, above the block if there is one."""
        if self._live is None:
            print(harmless(text) if self._is_terminal else text, file=self._stderr, flush=True)
            return
        from rich.text import Text

        self._live.console.print(Text(harmless(text)), soft_wrap=True)  # a command must stay one line

    def confirmed(self, question: str) -> bool:
        """Whether a person types yes; True where there is nobody to ask. Blocks."""
        if self._keyboard is None or not self._is_terminal:
            return True
        print(question, end="", file=self._stderr, flush=True)
        answer = self._keyboard.readline()
        if not answer.endswith(b"\n"):  # Ctrl-D
            self.say("")
        return answer.strip().lower() in (b"y", b"yes")

    def downloading(self, done: int, total: int | None) -> None:
        """Bytes of a download so far; drawn as a bar on a terminal, told at its start elsewhere."""
        if self._download is None:
            size = f" ({total / 1e6:.0f} MB)" if total else ""
            self.say(f"fetching the embedded model's weights, once{size}")
            self._download = _Download(self._stderr if self._is_terminal else None)
        self._download.update(done, total)

    @asynccontextmanager
    async def showing(self, figures: Figures) -> AsyncIterator[None]:
        """Show `figures` again and again while the body runs."""
        if self._rows_on_terminal:
            yield
            return
        period, show = (FRAME, self._draw) if self._draws else (PLAIN_EVERY, self._print)
        with self._screen():
            timer = asyncio.create_task(_every(period, lambda: show(figures)))
            try:
                yield
            finally:
                timer.cancel()

    @contextmanager
    def _screen(self) -> Iterator[None]:
        if not self._draws:
            yield
            return
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._stderr, force_terminal=True)
        with Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        ) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def draining(self, figures: Figures) -> None:
        """Say that the run is stopping and has calls in flight; where a block is drawn, it does."""
        if self._live is None and figures.in_flight:
            self.say(waiting(figures))

    def _draw(self, figures: Figures) -> None:
        if self._live is not None:
            self._live.update(block(figures, self._live.console.width), refresh=True)

    def _print(self, figures: Figures) -> None:
        if figures.seconds >= PLAIN_EVERY / 2:  # the moment of the start is not worth a line
            self.say(line(figures))


class _Download:
    """A bar for bytes, drawn only on a terminal."""

    def __init__(self, terminal: TextIO | None) -> None:
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        if terminal is not None:
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

            console = Console(file=terminal, force_terminal=True)
            columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn())
            self._progress = Progress(*columns, console=console, transient=True)
            self._task = self._progress.add_task("weights")
            self._progress.start()

    def update(self, done: int, total: int | None) -> None:
        if self._progress is None or self._task is None:
            return
        self._progress.update(self._task, completed=done, total=total)
        if done == total:
            self._progress.stop()


async def _every(period: float, show: Callable[[], None]) -> None:
    while True:
        show()
        await asyncio.sleep(period)


def block(figures: Figures, width: int = 80) -> RenderableType:
    """The block: a bar, the rows, the traffic, the money.

    Args:
        width: columns of the terminal; where it is narrow the bar gives way.
    """
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    total = figures.total
    share = Text(_share(figures), style="bold")
    length = min(32, width - len(share) - 2)
    bar = Table.grid(padding=(0, 1))
    if length >= 8:
        bar.add_row(
            ProgressBar(total=total, completed=figures.settled, width=length, pulse=total is None), share
        )
    else:
        bar.add_row(share)
    rows = Text.assemble(
        (f"{figures.ok:,} ok", "green"),
        "  ",
        (f"{figures.failed:,} failed", "red" if figures.failed else "dim"),
        "  ",
        (f"{figures.cached + figures.coalesced:,} cached", "cyan" if figures.cached else "dim"),
        *([(f"{figures.semantic:,} semantic", "cyan")] if figures.semantic else []),
        (f"  {figures.resumed:,} resumed" if figures.resumed else "", "cyan"),
        f"   {_rate(figures)}   {eta(figures)}",
    )
    # Text, never markup: a model's name is data.
    return Group(bar, rows, Text(harmless(_traffic(figures)), style="dim"), *_held(figures))


def _held(figures: Figures) -> Iterator[RenderableType]:
    """A line for everything that stands still, and one for the pace of the rest."""
    from rich.text import Text

    waits = _waits(figures)
    for wait in waits:
        if wait.still:
            yield Text(harmless(wait.text), style="yellow", no_wrap=True, overflow="ellipsis")
    if paced := " · ".join(wait.text for wait in waits if not wait.still):
        yield Text(harmless(paced))


def _share(figures: Figures) -> str:
    if not figures.total:
        return f"{figures.settled:,} rows"
    total = max(figures.total, figures.settled)  # it may be a file that has grown
    return f"{figures.settled / total:4.0%}  {figures.settled:,} of {total:,} rows"


def _rate(figures: Figures) -> str:
    return f"{figures.settled / figures.seconds:,.1f} rows/s" if figures.seconds > 0 else "- rows/s"


def eta(figures: Figures) -> str:
    """Time left at the last minute's rate; "" when there is nothing to tell it from, or nothing moves."""
    if not figures.total or figures.left is None or not figures.pace:
        return ""
    if figures.stopping or figures.traffic.is_held:
        return ""
    return f"{duration(figures.left / figures.pace)} left"


def _traffic(figures: Figures) -> str:
    parts = [
        figures.model,
        f"{figures.in_flight:,} in flight",
        f"{figures.usage.total_tokens:,} tokens",
        _cost(figures),
        figures.traffic.budget_left(),
        plural(figures.retries, "retry") if figures.retries else "",
    ]
    return " · ".join(part for part in parts if part)


def _cost(figures: Figures) -> str:
    spent = money(figures.cost)
    if not figures.cost or figures.left is None or not figures.fresh:
        return spent
    return f"{spent} of about {money(figures.cost * (figures.fresh + figures.left) / figures.fresh)}"


def waiting(figures: Figures) -> str:
    """What the run waits on: the end of the calls in flight, a pause, a limit, a circuit, delays before retries."""
    return " · ".join(wait.text for wait in _waits(figures))


def _waits(figures: Figures) -> list[Wait]:
    if figures.stopping:
        calls = plural(figures.in_flight, "call")
        again = "another signal" if _is_signal(figures.stopping) else "Ctrl-C"
        text = f"stopping ({figures.stopping}): waiting for {calls} in flight; {again} stops at once"
        return [Wait(text, still=True)]
    waits = figures.traffic.waits()
    if figures.retrying and not figures.traffic.is_held:  # else they wait for what holds everybody
        waits.append(Wait(f"{figures.retrying:,} waiting to retry"))
    return waits


def _is_signal(reason: LlmxError) -> bool:
    """Whether somebody else than a person at the keyboard stops the run."""
    return isinstance(reason, Interrupted) and reason.exit_code != Interrupted(signal.SIGINT).exit_code


def line(figures: Figures) -> str:
    """One plain line of the same facts."""
    parts = [_share(figures).strip(), f"{figures.ok:,} ok", f"{figures.failed:,} failed"]
    parts += [_rate(figures), eta(figures), _traffic(figures), waiting(figures)]
    return " · ".join(part for part in parts if part)
