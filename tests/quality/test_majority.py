"""What several answers agree on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmx.quality.leaves import leaves
from llmx.quality.majority import majority, normal

values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "A", "b ", "b", "ß"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)


def _votes_for(merged: Any, path: tuple[Any, ...]) -> list[int]:
    return [ballot.vote for ballot in merged.support[path]]


def test_most_votes_win_field_by_field() -> None:
    """Each field is what most answers say, whoever says it."""
    merged = majority([{"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "y"}])
    assert {"a": 1, "b": "y"} == merged.value
    assert [0, 1] == _votes_for(merged, ("a",))
    assert [1, 2] == _votes_for(merged, ("b",))


def test_texts_are_the_same_but_for_case_blanks_and_form() -> None:
    """The form of the first of those who agree is kept."""
    merged = majority(["New  York", "new york", "Boston"])
    assert "New  York" == merged.value
    assert [0, 1] == _votes_for(merged, ())


def test_a_tie_goes_to_the_earlier_vote() -> None:
    """So that the same votes always give the same answer."""
    assert "b" == majority(["b", "a"]).value


def test_true_is_not_one() -> None:
    """A truth and a number are two answers."""
    assert [0] == _votes_for(majority([True, 1]), ())


def test_numbers_are_the_same_when_they_are_equal() -> None:
    """However they are written."""
    assert [0, 1] == _votes_for(majority([1, 1.0, 2]), ())


@given(values, st.integers(1, 4))
def test_what_all_say_alike_stays_as_it_is(answer: Any, votes: int) -> None:
    """Lists keep their order, and what they hold twice."""
    assert json.dumps(answer) == json.dumps(majority([answer] * votes).value)


def test_a_list_holds_twice_what_most_hold_twice() -> None:
    """Measures and digits may repeat."""
    merged = majority([[3, 3, 4], [3, 3], [3, 3, 5]])
    assert [3, 3] == merged.value
    assert [0, 1, 2] == _votes_for(merged, (1,))
    assert [1] == _votes_for(merged, ())


def test_a_list_has_the_order_of_most() -> None:
    """Of those that hold the same, the commonest order."""
    assert [2, 1] == majority([[1, 2], [2, 1], [2, 1]]).value


def test_a_list_holds_what_most_votes_hold() -> None:
    """Whatever their order; the list itself is supported by those who have just that."""
    merged = majority([["a", "b"], ["b", "a", "c"], ["b", "A"]])
    assert ["a", "b"] == merged.value
    assert [0, 1, 2] == _votes_for(merged, (0,))
    assert [0, 2] == _votes_for(merged, ())
    assert (1,) == merged.support[(0,)][2].path


def test_a_list_without_a_majority_is_the_commonest_one() -> None:
    """Nobody's list is made up of nothing."""
    assert ["a"] == majority([["a"], ["b"], ["c"]]).value


def test_an_empty_list_can_win() -> None:
    """Most say that there is nothing."""
    merged = majority([[], [], ["a"]])
    assert [] == merged.value
    assert [0, 1] == _votes_for(merged, ())


def test_lists_of_objects_are_merged_by_position_among_the_commonest_length() -> None:
    """A vote with a row more has no part in it."""
    merged = majority([[{"n": 1}, {"n": 2}], [{"n": 1}, {"n": 3}], [{"n": 9}], [{"n": 1}, {"n": 2}]])
    assert [{"n": 1}, {"n": 2}] == merged.value
    assert [0, 3] == _votes_for(merged, (1, "n"))


def test_a_field_that_most_leave_out_is_left_out() -> None:
    """Absent is an answer, too, and the same as null."""
    assert {"a": 1} == majority([{"a": 1}, {"a": 1, "b": 2}, {"a": 1}]).value
    assert {"b": None} == majority([{"b": None}, {}, {"b": 2}]).value


@given(values)
def test_one_vote_is_its_own_majority(value: Any) -> None:
    """But for elements that a list of values has twice."""
    merged = majority([value])
    assert normal(_without_twins(value)) == normal(_without_twins(merged.value))


@given(values, st.integers(1, 4))
def test_votes_that_agree_all_support_every_leaf(value: Any, votes: int) -> None:
    """A leaf's support is all of them."""
    merged = majority([value] * votes)
    for path, _ in leaves(merged.value):
        assert list(range(votes)) == _votes_for(merged, path)


@given(st.lists(values, min_size=1, max_size=5))
def test_every_leaf_is_some_votes(answers: list[Any]) -> None:
    """No leaf is made up: its supporters have that value where they are said to."""
    merged = majority(answers)
    json.dumps(merged.value)
    for path, leaf in leaves(merged.value):
        assert merged.support[path]
        for ballot in merged.support[path]:
            if leaf not in ([], {}):
                assert normal(leaf) == normal(ballot.value)


def _without_twins(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_twins(inner) for name, inner in value.items()}
    if isinstance(value, list):
        inner = [_without_twins(element) for element in value]
        if any(isinstance(element, dict | list) for element in value):
            return inner
        return list({normal(element): element for element in inner}.values())
    return value


@pytest.mark.parametrize(("one", "other"), [("a", "A"), ("ﬁne", "fine"), (" a b", "a  b"), (1, 1.0)])
def test_what_counts_as_the_same(one: Any, other: Any) -> None:
    """Case, compatibility forms, blanks, the kind of a number."""
    assert normal(one) == normal(other)
