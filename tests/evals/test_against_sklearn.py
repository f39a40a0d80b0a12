"""Every figure is scikit-learn's, on generated data."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from evaluations import pair
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support
from sklearn.preprocessing import MultiLabelBinarizer

from llmx.evals import evaluate

LABELS = st.sampled_from(["billing", "delivery", "Product", "other", "ünïcode", "1"])
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=3).filter(
    str.strip
)
PAIRS = st.lists(
    st.tuples(LABELS | WORDS, LABELS | WORDS) | LABELS.map(lambda one: (one, one)), min_size=1, max_size=40
)
NUMBERS = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=40)
TRUTHS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)
SETS = st.lists(st.tuples(*[st.sets(st.sampled_from("abcdef"))] * 2), min_size=1, max_size=40)


def figures(gold: list[Any], predicted: list[Any]) -> dict[str, Any]:
    """What is found of one field."""
    with tempfile.TemporaryDirectory() as folder:
        ours, right = pair(
            Path(folder), [{"field": one} for one in gold], [{"field": one} for one in predicted]
        )
        document: dict[str, Any] = evaluate(ours, right).document()
    return document["fields"]["field"]  # type: ignore[no-any-return]


def assert_same(found: dict[str, Any], gold: Any, predicted: Any, labels: Any = None) -> None:
    """Compare all averages."""
    assert found["accuracy"] == pytest.approx(accuracy_score(gold, predicted), abs=1e-12)
    for average in ("macro", "micro"):
        wanted = precision_recall_fscore_support(
            gold, predicted, labels=labels, average=average, zero_division=0
        )
        names = [f"{name}_{average}" for name in ("precision", "recall", "f1")]
        assert [found[name] for name in names] == pytest.approx(wanted[:3], abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_text(pairs: list[tuple[str, str]]) -> None:
    """Labels, whatever their letters."""
    gold, predicted = map(list, zip(*pairs, strict=True))
    assert_same(figures(gold, predicted), gold, predicted)


@settings(max_examples=30, deadline=None)
@given(NUMBERS | TRUTHS)
def test_numbers_and_truths(pairs: list[tuple[int, int]]) -> None:
    """Values that are no text."""
    gold, predicted = map(list, zip(*pairs, strict=True))
    assert_same(figures(gold, predicted), gold, predicted)


@settings(max_examples=60, deadline=None)
@given(SETS.filter(lambda pairs: len({one for a, b in pairs for one in a | b}) > 1))
def test_sets(pairs: list[tuple[set[str], set[str]]]) -> None:
    """Lists are multilabel: accuracy is that all elements are right. (Of one label scikit-learn makes a binary choice.)"""
    gold, predicted = ([sorted(one) for one in side] for side in zip(*pairs, strict=True))
    binarizer = MultiLabelBinarizer().fit(gold + predicted)
    assert_same(figures(gold, predicted), binarizer.transform(gold), binarizer.transform(predicted))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from(["a", "b", "c", None])] * 2), min_size=1, max_size=40))
def test_nothing_is_no_label(pairs: list[tuple[str | None, str | None]]) -> None:
    """A missing value lowers recall, a spurious one precision; accuracy counts both, and nothing twice as right."""
    gold, predicted = ([one or "nothing" for one in side] for side in zip(*pairs, strict=True))
    found = figures(*map(list, zip(*pairs, strict=True)))
    labels = sorted({*gold, *predicted} - {"nothing"})
    if labels:
        assert_same(found, gold, predicted, labels)
    else:
        assert (found["accuracy"], found["f1_macro"], found["f1_micro"]) == (1.0, None, None)
    counts = [found[name] for name in ("correct", "wrong", "missing", "spurious", "empty")]
    assert sum(counts) == found["n"] == len(pairs)
    assert found["missing"] == sum(a is not None and b is None for a, b in pairs)
    assert found["spurious"] == sum(a is None and b is not None for a, b in pairs)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(*[st.sampled_from(["a", "b", "c"])] * 2), min_size=12, max_size=40).filter(
        lambda pairs: len({label for pair in pairs for label in pair}) > 1
    )
)
def test_the_confusion_matrix_and_labels(pairs: list[tuple[str, str]]) -> None:
    """Rows are what is expected, columns what is predicted; figures per label are scikit-learn's, too."""
    gold, predicted = map(list, zip(*pairs, strict=True))
    found = figures(gold, predicted)
    labels, matrix = found["confusion"]["labels"], found["confusion"]["matrix"]
    assert labels[-1] is None
    assert [row[:-1] for row in matrix[:-1]] == confusion_matrix(gold, predicted, labels=labels[:-1]).tolist()
    wanted = precision_recall_fscore_support(gold, predicted, labels=labels[:-1], zero_division=0)
    for place, label in enumerate(labels[:-1]):
        one = found["labels"][label]
        assert [one[name] for name in ("precision", "recall", "f1")] == pytest.approx(
            [part[place] for part in wanted[:3]], abs=1e-12
        )
