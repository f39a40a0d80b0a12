"""An evaluation as rows of text, the same for a terminal, a page of Markdown and a report: heads, cells, figures.

How they are drawn is the others' business, and so is what must be escaped there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from llmx.evals.baseline import BaselineComparison
from llmx.evals.evaluation import Disagreement, Evaluation, FieldScore, label_text
from llmx.evals.judging import Judged
from llmx.evals.scores import Rates, ratio
from llmx.evals.values import as_text
from llmx.text import plural

__all__ = ["Section", "headline", "percent", "sections", "shown"]

_LONGEST = 60
"""Characters of a value that are shown."""

_MATRIX = 10
"""Labels up to which a confusion matrix is shown; of more, the pairs that come most often."""

_CONFUSED = 10

_OFTEN = 5
"""How often a label comes, on average, in a field whose confusion is worth a look."""


class Section(Struct, frozen=True):
    """A table.

    Args:
        texts: how many of the first columns are text; the others are figures.
        stressed: rows that deserve a second look.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1
    stressed: frozenset[int] = frozenset()


def percent(figure: float | None) -> str:
    """`93.1 %`; 100 % and 0 % only for all and none."""
    if figure is None:
        return "undefined"
    short = f"{100 * figure:.1f}"
    if short == "100.0" and figure < 1:
        short = "99.9"
    if short == "0.0" and figure > 0:
        short = "0.1"
    return f"{short.removesuffix('.0') if figure in (0, 1) else short} %"


def shown(value: Any) -> str:
    """A value in short; nothing as a dash."""
    text = "–" if value is None else as_text(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def headline(evaluation: Evaluation) -> list[str]:
    """What was compared, in a line or two."""
    rows, overall = evaluation.rows, evaluation.overall
    lines = [
        f"{plural(rows.matched, 'row')} compared in {plural(len(evaluation.fields), 'field')}: "
        f"{percent(overall.accuracy)} of the values are right, {plural(rows.right, 'row')} in every field",
    ]
    if rows.missing:
        known = f", {_failures(rows.failed)}" if rows.failed else ""
        lines.append(
            f"{plural(rows.missing, 'row')} of gold without a prediction{known}: coverage {percent(rows.coverage)}"
        )
    return lines


def _failures(failed: Any) -> str:
    total = sum(failed.values())
    return f"{total:,} of which failed ({', '.join(f'{kind} {times:,}' for kind, times in failed.items())})"


def sections(judged: Judged) -> list[Section]:
    """All tables of an evaluation, the most important first."""
    found = [_fields(judged.evaluation)]
    if judged.minimums:
        found.append(_minimums(judged))
    if judged.comparison is not None:
        found.append(_baseline(judged.comparison))
    found += [section for one in judged.evaluation.fields.values() for section in _confusion(one)]
    if judged.worst and judged.evaluation.wrong_fields:
        found.append(_worst(judged))
    return found


def _fields(evaluation: Evaluation) -> Section:
    fields, overall = list(evaluation.fields.values()), evaluation.overall
    looser = any(one.normalized is not None and one.normalized > one.counts.right for one in fields)
    head = ["field", "by", "accuracy", *(["normalized"] if looser else []), "95 %", "F1 macro", "F1 micro"]
    head += ["correct", "wrong", "missing", "spurious", "empty"]
    rows = [_field(one, looser=looser) for one in fields]
    if len(rows) > 1:
        figures = [_interval(overall.ci95), *_f1(overall.macro, overall.micro), *_sums(evaluation)]
        rows.append(["all", "", percent(overall.accuracy), *([""] if looser else []), *figures])
    stressed = frozenset(row for row, one in enumerate(fields) if one.counts.wrong)
    return Section("", head, rows, 2, stressed)


def _field(one: FieldScore, *, looser: bool) -> list[str]:
    normalized = percent(ratio(one.normalized, one.n)) if one.normalized is not None else ""
    counts = [one.verdicts[name] for name in ("correct", "wrong", "missing", "spurious")]
    figures = [percent(one.accuracy), *([normalized] if looser else []), _interval(one.ci95)]
    figures += _f1(one.macro, one.micro)
    return [one.path, str(one.comparison), *figures, *(f"{count:,}" for count in (*counts, one.counts.empty))]


def _sums(evaluation: Evaluation) -> list[str]:
    fields = evaluation.fields.values()
    names = ("correct", "wrong", "missing", "spurious")
    sums = [sum(one.verdicts[name] for one in fields) for name in names]
    return [f"{total:,}" for total in (*sums, sum(one.counts.empty for one in fields))]


def _f1(macro: Rates, micro: Rates) -> list[str]:
    return ["–" if one.f1 is None else f"{one.f1:.3f}" for one in (macro, micro)]


def _interval(interval: tuple[float, float] | None) -> str:
    return "–" if interval is None else f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f}"


def _minimums(judged: Judged) -> Section:
    rows = [
        [
            one.minimum.name,
            "passed" if one.passed else "FAILED",
            "undefined" if one.figure is None else f"{one.figure:.4f}",
            f"{one.minimum.least:g}",
        ]
        for one in judged.minimums
    ]
    stressed = frozenset(row for row, one in enumerate(judged.minimums) if not one.passed)
    return Section("Minimums", ["minimum", "", "is", "at least"], rows, 2, stressed)


def _baseline(comparison: BaselineComparison) -> Section:
    rows = [
        [
            one.path,
            one.verdict if one.verdict != "worse" else "WORSE",
            percent(one.before),
            percent(one.after),
            f"{one.better:,}",
            f"{one.worse:,}",
            f"{one.p_holm:.2g}",
        ]
        for one in comparison.changes
    ]
    lost = (
        f"; {plural(comparison.lost, 'row')} had a prediction then and have none now"
        if comparison.lost
        else ""
    )
    title = f"Against the baseline, over {plural(comparison.rows, 'row')} that both have{lost}"
    head = ["field", "", "then", "now", "mended", "broken", "p (Holm)"]
    stressed = frozenset(row for row, one in enumerate(comparison.changes) if one.verdict == "worse")
    return Section(title, head, rows, 2, stressed)


def _confusion(one: FieldScore) -> list[Section]:
    confusion = one.confusion() if one.counts.wrong else None
    if confusion is None or _OFTEN * len(one.labels) > sum(label.expected for label in one.labels):
        return []
    labels = [label.label for label in one.labels]
    if len(labels) > _MATRIX:
        section = _most_confused(one.path, confusion)
        return [section] if section.rows else []
    wanted = [*labels, None] if any(None in pair for pair in confusion) else labels
    names = ["–" if label is None else shown(label_text(label)) for label in wanted]
    rows = [
        [name, *(f"{confusion.get((row, column), 0):,}" for column in wanted)]
        for name, row in zip(names, wanted, strict=True)
    ]
    return [Section(f"{one.path}: expected in rows, predicted in columns", ["", *names], rows)]


def _most_confused(path: str, confusion: dict[tuple[Any, Any], int]) -> Section:
    mistaken = [(times, pair) for pair, times in confusion.items() if pair[0] != pair[1] and times > 1]
    pairs = sorted(mistaken, key=lambda one: -one[0])
    rows = [
        [*("–" if one is None else shown(label_text(one)) for one in pair), f"{times:,}"]
        for times, pair in pairs[:_CONFUSED]
    ]
    return Section(f"{path}: most often confused", ["expected", "predicted", "rows"], rows, 2)


def _worst(judged: Judged) -> Section:
    rows = [
        [shown(key) if place == 0 else "", one.path, shown(one.expected), shown(one.predicted)]
        for key, wrong in judged.evaluation.worst(judged.worst)
        for place, one in enumerate(_first(wrong))
    ]
    return Section("Worst rows", ["row", "field", "expected", "predicted"], rows, 4)


_FIELDS = 12
"""Fields of one row that are shown."""


def _first(wrong: Sequence[Disagreement]) -> Sequence[Disagreement]:
    return wrong[:_FIELDS]
