"""Rows as lines of CSV or TSV (RFC 4180, but with plain line feeds)."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Container, Iterator, Mapping
from typing import Any

from llmx.records.values import flatten, to_json

__all__ = ["DelimitedEncoder"]

# What Excel, LibreOffice and Google Sheets take for the beginning of a formula, in full width too:
# https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")


class DelimitedEncoder:
    """Lines for rows, under a header that is fixed by the first.

    Nested objects are spread over columns with dotted names (where a column has such a name already, they are
    one column of JSON), lists are JSON, None is an empty cell, booleans
    are `true` and `false`. A column that the header lacks cannot be written any more: it is left out, and
    `warnings` tells.

    Args:
        delimiter: what stands between two cells.
        columns: known names in order, each with whether it is one cell whatever it holds, an object too; the
            others are spread, and joined by others, as the first row tells.
        safe: put `'` before text that a spreadsheet would run; numbers stay as they are, as text too.
    """

    def __init__(self, delimiter: str, columns: Mapping[str, bool] | None, *, safe: bool) -> None:
        self._buffer = io.StringIO()
        # The csv module quotes a lone carriage return only if the line terminator has one, before Python 3.13.
        self._writer = csv.writer(self._buffer, delimiter=delimiter, lineterminator="\r\n")
        self._columns = dict(columns or {})
        self._whole: Container[str] = {name for name, whole in self._columns.items() if whole}
        self._above = {above for name in self._columns for above in _above(name)}
        self._header: dict[str, None] = {}
        self._safe = safe
        self._left_out: dict[str, None] = {}
        self._rows_cut = 0
        self._mended = 0

    def header(self, row: Mapping[str, Any]) -> bytes:
        """Settle the header by the known names and the first row; b"" when there is no name at all."""
        leaves = [name for name, _ in self._leaves(row)]
        names: dict[str, None] = {}
        for column, whole in self._columns.items():
            spread = isinstance(row.get(column), Mapping) and row[column] and not whole
            below = [leaf for leaf in leaves if spread and leaf.startswith(column + ".")]
            names |= dict.fromkeys(below if below and column not in leaves else [column])
        self._header = names | dict.fromkeys(leaves)
        self._whole = self._header
        return self._line([self._text(name) for name in self._header]) if self._header else b""

    @property
    def state(self) -> dict[str, Any]:
        """What was settled and noticed so far, as JSON."""
        return {
            "header": list(self._header),
            "left_out": list(self._left_out),
            "rows_cut": self._rows_cut,
            "mended": self._mended,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on as an encoder that was in this state."""
        self._header = self._whole = dict.fromkeys(state["header"])
        self._left_out = dict.fromkeys(state["left_out"])
        self._rows_cut, self._mended = state["rows_cut"], state["mended"]

    def encode(self, row: Mapping[str, Any]) -> bytes:
        """One row's line. Raises TypeError for a value that has no JSON."""
        cells = dict.fromkeys(self._header, "")
        left_out = False
        for name, value in self._leaves(row):
            if name in cells:
                cells[name] = self._cell(value)
            elif value is not None:
                self._left_out[name] = None
                left_out = True
        self._rows_cut += left_out
        return self._line(list(cells.values()))

    def warnings(self) -> list[str]:
        """What was not written as it was."""
        found = []
        if self._left_out:
            names = ", ".join(repr(name) for name in self._left_out)
            rows = f"{self._rows_cut} row{'' if self._rows_cut == 1 else 's'}"
            found.append(
                f"columns that the header lacks were left out of {rows}: {names}; JSON Lines keeps them"
            )
        if self._mended:
            found.append(
                f"{self._mended} lines held half surrogate pairs, which UTF-8 cannot hold; they are escaped"
            )
        return found

    def _leaves(self, row: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """Like `flatten`, but an object stays whole where a part's name is taken, and an empty one has no cell."""
        found: dict[str, Any] = {}
        for name, value in row.items():
            parts = dict(flatten({name: value}, self._whole))
            taken = any(part in found or (part in row and part != name) for part in parts)
            found |= {name: value} if taken else parts
        return [leaf for leaf in found.items() if leaf[0] not in self._above or leaf[1] not in (None, {})]

    def _cell(self, value: Any) -> str:
        if value is None or (isinstance(value, float) and not math.isfinite(value)):  # null in JSON too
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return repr(value)
        if not isinstance(value, str):
            text = to_json(value).decode()
            value = text if text[0] in "[{" else text.strip('"')
        return self._text(value)

    def _text(self, text: str) -> str:
        if self._safe and _FORMULA.match(text) and not _NUMBER.fullmatch(text):
            return "'" + text
        return text

    def _line(self, cells: list[str]) -> bytes:
        self._writer.writerow(cells)
        line = self._buffer.getvalue()[:-2] + "\n"
        self._buffer.seek(0)
        self._buffer.truncate()
        try:
            return line.encode()
        except UnicodeEncodeError:
            self._mended += 1
            return line.encode("utf-8", "backslashreplace")


def _above(name: str) -> Iterator[str]:
    """The dotted names of the objects that a leaf stands in."""
    parts = name.split(".")
    return (".".join(parts[:depth]) for depth in range(1, len(parts)))
