"""An evaluation as Markdown: a step's summary in CI, or a comment. Values are escaped: they may be anybody's text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from llmx.evals.judging import Judged
from llmx.evals.presenting import Section, headline, sections
from llmx.text import harmless

__all__ = ["as_markdown", "escaped"]

_PUNCTUATION = re.compile(r"""([!"#$%'()*+,\-./:;=?@\[\\\]^_`{|}~])""")
"""ASCII punctuation, each of which a backslash makes a character like any other (CommonMark 0.31, section 2.4)."""

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}

_TAME = re.compile(r"(?:[\w ,.%–…();='\"-]|: )*")
"""What needs no escapes, but for underscores and addresses."""


def escaped(text: str) -> str:
    """The text as Markdown that shows it: no link, image, mention, HTML or cell can come of it."""
    line = harmless(text).strip()
    if _TAME.fullmatch(line) and "_" not in line and "www." not in line:
        return line
    shown = "".join(_ENTITIES.get(part, part) for part in _PUNCTUATION.sub(r"\\\1", line))
    return shown.replace(
        "\\@", "@<!-- -->"
    )  # mentions are looked for in what is rendered, where no backslash is left


def as_markdown(judged: Judged) -> str:
    """The whole evaluation as GitHub Flavored Markdown, tables and all."""
    return "".join(f"{line}\n" for line in _lines(judged))


def _lines(judged: Judged) -> Iterator[str]:
    gated = bool(judged.minimums) or judged.comparison is not None
    yield f"## Evaluation{': passed' if gated and judged.passed else ': FAILED' if gated else ''}"
    yield ""
    yield from (f"{escaped(line)}  " for line in headline(judged.evaluation))
    failures = list(judged.failures())
    if failures:
        yield ""
        yield from (f"- {escaped(line)}" for line in failures)
    if judged.evaluation.remarks:
        yield ""
        yield from (f"- {escaped(line)}" for line in judged.evaluation.remarks)
    for section in sections(judged):
        yield ""
        yield from _section(section)


def _section(section: Section) -> Iterator[str]:
    if section.title:
        yield f"### {escaped(section.title)}"
        yield ""
    yield _row(section.head)
    yield (
        "|" + "|".join("---" if place < section.texts else "---:" for place in range(len(section.head))) + "|"
    )
    yield from (_row(cells) for cells in section.rows)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(escaped, cells)) + " |"
