"""What is kept of rows: the laws of its merge, and that it is bounded."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmx.schemas.inference.seen import MAX_CHOICES, MAX_KEYS, Seen, merge, see_row

KEYS = st.sampled_from(["a", "b", "c", "first name", "größe", "_x", "class"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["", "red", "green", "2024-02-29", "2024-02-29T10:00:00Z", "17", "1.5", "a@b.org", "x" * 90]
    )
    | st.text(max_size=5)
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
ROWS = st.lists(st.dictionaries(KEYS, VALUES, max_size=4), max_size=8)


LAW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def seen(rows: list[dict[str, Any]], start: int = 0) -> Seen:
    """What is kept of rows that begin at a number."""
    whole = Seen()
    for index, row in enumerate(rows, start):
        see_row(whole, row, index)
    return whole


@LAW
@given(ROWS, ROWS)
def test_merging_parts_is_seeing_the_whole(one: list[Any], other: list[Any]) -> None:
    """Wherever the rows are cut in two."""
    assert seen([*one, *other]) == merge(seen(one), seen(other, len(one)))


@LAW
@given(ROWS, ROWS, ROWS)
def test_merge_is_associative_and_commutative(first: list[Any], second: list[Any], third: list[Any]) -> None:
    """Parts may be merged in any order and grouping."""
    a, b, c = seen(first), seen(second, 100), seen(third, 200)
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c)) == merge(a, b, c)


@LAW
@given(ROWS)
def test_nothing_is_the_neutral_element(rows: list[Any]) -> None:
    """Merging with what nothing was seen of changes nothing."""
    assert merge(seen(rows), Seen()) == seen(rows)


def wide(number: int, times: int) -> list[dict[str, Any]]:
    return [{"o": {f"k{(row * 7 + n) % number}": n for n in range(times)}} for row in range(number)]


def test_the_laws_hold_beyond_the_bounds() -> None:
    """Keys that are collapsed in one part, in the other, or only in the whole, give the same."""
    rows = wide(MAX_KEYS + 40, 3)
    assert seen(rows).objects.fields["o"].objects.fields is None  # type: ignore[union-attr, index]
    for cut in (1, 90, len(rows) - 1):
        parts = seen(rows[:cut]), seen(rows[cut:], cut)
        assert merge(*parts) == merge(*reversed(parts)) == seen(rows)


def test_what_is_kept_does_not_grow_with_the_rows() -> None:
    """Different texts, different keys and long lists leave a bounded rest."""
    rows = [{"t": f"text {n}", "o": {f"key {n}": n}, "l": [n] * 20} for n in range(5_000)]
    fields = seen(rows).objects.fields  # type: ignore[union-attr]
    assert fields is not None
    assert fields["t"].texts.choices is None  # type: ignore[union-attr]
    assert len(fields["t"].texts.examples) == 3  # type: ignore[union-attr]
    assert fields["o"].objects.fields is None  # type: ignore[union-attr]
    assert fields["o"].objects.values.integers.count == 5_000  # type: ignore[union-attr]
    few = seen([{"t": f"text {n % MAX_CHOICES}"} for n in range(5_000)]).objects.fields["t"]  # type: ignore[union-attr, index]
    assert len(few.texts.choices) == MAX_CHOICES  # type: ignore[union-attr, arg-type]
