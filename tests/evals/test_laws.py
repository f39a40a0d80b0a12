"""What holds whatever the rows: the order of rows, the format of a file, and the key's type change no figure."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from evaluations import jsonl
from hypothesis import given, settings
from hypothesis import strategies as st

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.evals import Evaluation, evaluate
from llmx.evals.judging import Judged
from llmx.evals.junit import as_junit
from llmx.evals.markdown import as_markdown
from llmx.evals.table import as_table
from llmx.records import open_sink, to_json

WORDS = st.text("ab,\"';|é 1", min_size=1, max_size=4).filter(str.strip)
VALUES = st.fixed_dictionaries(
    {
        "name": st.none() | WORDS,
        "n": st.none() | st.integers(-5, 5) | st.sampled_from([0.5, 2.25]),
        "ok": st.none() | st.booleans(),
        "tags": st.lists(WORDS, max_size=3),
        "to": st.fixed_dictionaries({"city": st.none() | st.sampled_from(["Oslo", "Bergen"])}),
    }
)
PAIRS = st.lists(st.tuples(VALUES, VALUES) | VALUES.map(lambda one: (one, one)), min_size=1, max_size=12)


def found(evaluation: Evaluation) -> dict[str, Any]:
    """All figures, without how they came about."""
    document = evaluation.document()
    left_out = ("compared_by", "accuracy_normalized", "labels", "confusion")
    fields = {
        path: {name: value for name, value in one.items() if name not in left_out}
        for path, one in document["fields"].items()
    }
    return {"rows": document["rows"], "overall": document["overall"], "fields": fields}


def rows_of(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> tuple[list[Any], list[Any]]:
    """Predictions and gold."""
    ours = [{"id": row, **predicted} for row, (_, predicted) in enumerate(pairs)]
    return ours, [{"id": row, "gold": right} for row, (right, _) in enumerate(pairs)]


def as_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    """As `llmx extract` writes it."""
    sink = open_sink(str(path), env=Environment())
    for row in rows:
        sink.write(row)
    sink.close()
    return path


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_the_format_changes_nothing(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """CSV, in which everything is text, gives the figures of JSON Lines, on either side."""
    ours, gold = rows_of(pairs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = jsonl(folder / "out.jsonl", ours), jsonl(folder / "gold.jsonl", gold)
        flat = as_csv(folder / "out.csv", ours), as_csv(folder / "gold.csv", gold)
        wanted = found(evaluate(*lines))
        assert found(evaluate(flat[0], lines[1])) == wanted
        assert found(evaluate(lines[0], flat[1])) == wanted


@settings(max_examples=30, deadline=None)
@given(PAIRS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(
    pairs: list[tuple[dict[str, Any], dict[str, Any]]], draw: Any
) -> None:
    """Nor does a key that is text in one file and a number in the other."""
    ours, gold = rows_of(pairs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        right = jsonl(folder / "gold.jsonl", gold)
        wanted = found(evaluate(jsonl(folder / "out.jsonl", ours), right))
        mixed = [{**row, "id": str(row["id"])} for row in draw.sample(ours, len(ours))]
        assert found(evaluate(jsonl(folder / "mixed.jsonl", mixed), right)) == wanted


@settings(max_examples=30, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=12))
def test_what_is_the_same_is_right(values: list[dict[str, Any]]) -> None:
    """Every field, every row, and nothing else."""
    ours, gold = rows_of([(one, one) for one in values])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        evaluation = evaluate(jsonl(folder / "out.jsonl", ours), jsonl(folder / "gold.jsonl", gold))
    assert evaluation.overall.accuracy == 1.0
    assert list(evaluation.disagreements()) == []
    assert evaluation.rows.right == len(values)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
ROWS = st.lists(
    st.dictionaries(st.sampled_from(["a", "b.c", "_x", "gold", "\x1b[", "b"]), ANYTHING), max_size=4
)


@settings(max_examples=150, deadline=None)
@given(
    ROWS, ROWS, st.booleans(), st.sampled_from([None, "exact", "number", "set", "date", "fuzzy", "boolean"])
)
def test_whatever_is_in_the_files(ours: list[Any], gold: list[Any], inside: bool, how: str | None) -> None:
    """It gives figures that can be shown in every form, or an error that says why not."""
    right = [{"id": row, "gold": one} if inside else {**one, "id": row} for row, one in enumerate(gold)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = (
            jsonl(folder / "out.jsonl", [{**one, "id": row} for row, one in enumerate(ours)]),
            folder / "g.jsonl",
        )
        jsonl(files[1], right)
        try:
            evaluation = evaluate(*files, compare={"a": how} if how else None)
        except UsageError:
            return
    judged = Judged(evaluation, worst=3)
    assert json.loads(to_json(judged.document()))["rows"]["matched"] == evaluation.rows.matched > 0
    assert as_table(judged, terminal=True, width=60)
    assert as_markdown(judged)
    assert ET.fromstring(as_junit(judged)).tag == "testsuites"
