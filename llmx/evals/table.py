"""Tables for people, on a terminal or in a pipe. All text is shown as text, never as markup."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from llmx.evals.judging import Judged
from llmx.evals.presenting import Section, headline, sections
from llmx.text import harmless

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["as_table", "drawn"]

_GAP = 2

_LONGEST = 40
"""Columns of a first cell that is not folded."""

_WIDE = 400
"""Columns of what is no terminal: there nothing is cut or wrapped."""


def as_table(judged: Judged, *, terminal: bool, width: int | None = None) -> str:
    """The whole evaluation as text; the arguments are those of `drawn`."""
    return drawn(headline(judged.evaluation), sections(judged), terminal=terminal, width=width)


def drawn(
    lines: Iterable[str], tables: Iterable[Section], *, terminal: bool, width: int | None = None
) -> str:
    """Lines, and tables below them.

    Args:
        terminal: colours are wanted, and tables fit the screen.
        width: of the screen, in columns.
    """
    from rich.console import Console

    out = io.StringIO()
    console = Console(
        file=out,
        force_terminal=terminal,
        width=width if terminal else _WIDE,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    for line in lines:
        console.print(harmless(line))
    for section in tables:
        if section.title:
            console.print()
            console.print(harmless(section.title), style="bold")
        for part in _parts(section, console.width):
            console.print(_table(part))
    return _tidy(out.getvalue())


def _tidy(text: str) -> str:
    """Without blanks at the ends of lines, and never two empty lines."""
    lines = [line.rstrip() for line in text.split("\n")]
    kept = [line for place, line in enumerate(lines) if line or place == 0 or lines[place - 1]]
    return "\n".join(kept).strip("\n") + "\n"


def _parts(section: Section, width: int) -> Iterator[Section]:
    """The table, or where its figures do not fit beside each other, several with the first column each."""
    from rich.cells import cell_len

    columns = list(zip(section.head, *section.rows, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    first = min(widths[0], _LONGEST)
    start, texts = 1, section.texts
    while start < len(columns):
        used, end = first, start
        while end < len(columns) and (end < max(start + 1, texts) or used + widths[end] + _GAP <= width):
            used += widths[end] + _GAP
            end += 1
        shown = [0, *range(start, end)]
        rows = [[row[place] for place in shown] for row in section.rows]
        head = [section.head[place] for place in shown]
        yield Section(section.title, head, rows, min(texts, len(shown)), section.stressed)
        start, texts = end, 1


def _table(section: Section) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for place, name in enumerate(section.head):
        figures = place >= section.texts
        table.add_column(Text(harmless(name)), justify="right" if figures else "left", no_wrap=figures)
    for row, cells in enumerate(section.rows):
        style = "yellow" if row in section.stressed else ""
        table.add_row(*(Text(harmless(cell), overflow="fold") for cell in cells), style=style)
    return table
