"""Which words of a row each value of an answer rests on: the model's quotes, found in the row.

Where a model has quoted nothing for a value, or words that the row does not have, the row is searched for the value
itself. A quote in the place of an object or a list stands for all values in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llmx.evidence import Aligner, Alignment, supported
from llmx.quality.envelope import ANSWER, EVIDENCE
from llmx.quality.leaves import Path, dotted, leaves
from llmx.records.values import to_json
from llmx.schemas.keywords import Node
from llmx.types import Quote

__all__ = ["Columns", "check", "rests_on", "with_quotes"]

_RANKS = ("exact", "normalized", "fuzzy")

TOLD = 3
"""Values that a re-ask names."""


class Columns:
    """The texts of a row's columns that a model has seen, ready to be searched.

    Args:
        shown: the columns; what is no text is searched as its JSON.
    """

    def __init__(self, shown: Mapping[str, Any]) -> None:
        self._texts = {
            name: value if isinstance(value, str) else to_json(value).decode()
            for name, value in shown.items()
        }
        self._aligners: dict[str, Aligner] = {}

    def find(self, quote: str) -> Quote | None:
        """Where the words are, in the column that has them the most exactly; the same words again: further on."""
        return self._best(quote, lambda name: self._aligner(name).claim(quote))

    def find_value(self, value: Any) -> Quote | None:
        """Where the value itself stands."""
        return self._best(None, lambda name: supported(value, self._aligner(name)))

    def _aligner(self, name: str) -> Aligner:
        if name not in self._aligners:
            self._aligners[name] = Aligner(self._texts[name])
        return self._aligners[name]

    def _best(self, quote: str | None, find: Callable[[str], Alignment | None]) -> Quote | None:
        best: tuple[str, Alignment] | None = None
        for name in self._texts:
            hit = find(name)
            if hit is not None and (best is None or _RANKS.index(hit.match) < _RANKS.index(best[1].match)):
                best = (name, hit)
            if hit is not None and hit.match == _RANKS[0]:
                break
        if best is None:
            return None
        name, hit = best
        text = self._texts[name][hit.start : hit.end] if quote is None else quote
        return Quote(text, name, hit.start, hit.end, hit.match)


def rests_on(answer: Any, quotes: Any, shown: Mapping[str, Any]) -> dict[Path, Quote | None]:
    """Of each value that is not empty, the words that it rests on, None where the row does not have them.

    Args:
        answer: as the model wrote it.
        quotes: what it quoted, in the shape of the answer as far as it has kept to it.
        shown: the row's columns that it has seen.
    """
    columns = Columns(shown)
    found: dict[Path, Quote | None] = {}
    for path, value in leaves(answer):
        if value in (None, "", [], {}):
            continue
        quote = _quoted_for(quotes, path)
        found[path] = (columns.find(quote) if quote else None) or columns.find_value(value)
    return found


def _quoted_for(quotes: Any, path: Path) -> str:
    """The quote that stands in the place of a value, or of what it is in; "" where there is none."""
    for step in path:
        if isinstance(quotes, str):
            break
        if isinstance(quotes, Mapping):
            quotes = quotes.get(str(step))
        elif isinstance(quotes, list) and isinstance(step, int) and step < len(quotes):
            quotes = quotes[step]
        else:
            return ""
    return quotes if isinstance(quotes, str) else ""


def with_quotes(answer: Mapping[str, Any], shown: Mapping[str, Any], schema: Node) -> dict[str, Any]:
    """A right answer as a model is to write it: with the values' own words, where the row has them.

    Args:
        answer: what fits the user's schema.
        shown: the row's columns.
        schema: of an answer with evidence, see `envelope`.
    """
    found = rests_on(answer, None, shown)
    return {EVIDENCE: _quotes_for(answer, found, (), schema["properties"][EVIDENCE]), ANSWER: dict(answer)}


def _quotes_for(value: Any, found: Mapping[Path, Quote | None], path: Path, node: Node) -> Any:
    """The quotes of what stands at a path, in the shape that their schema says."""
    if node["type"] == "object":
        inner = value if isinstance(value, Mapping) else {}
        return {
            name: _quotes_for(inner.get(name), found, (*path, name), below)
            for name, below in node["properties"].items()
        }
    if node["type"] == "array":
        elements = value if isinstance(value, list) else []
        return [_quotes_for(one, found, (*path, n), node["items"]) for n, one in enumerate(elements)]
    quote = found.get(path)
    return quote.text if quote is not None else ""


def check(quotes: Any, found: Mapping[Path, Quote | None]) -> None:
    """Raises ValueError for values that the row does not say: names them as the model is to read it."""
    missing = [path for path, quote in found.items() if quote is None]
    if not missing:
        return
    told = "; ".join(f"{dotted(path)}: {_lacking(_quoted_for(quotes, path))}" for path in missing[:TOLD])
    more = f" (and {len(missing) - TOLD} more)" if len(missing) > TOLD else ""
    raise ValueError(
        f"{told}{more}. Quote the words exactly as they stand in the row, and leave out what the row does not say."
    )


def _lacking(quote: str) -> str:
    return f"the words {quote!r} are not in the row" if quote else "no words of the row are quoted"
