"""The laws of the fingerprint: equal questions are equal, different ones are not."""

from __future__ import annotations

import json

import orjson
from hypothesis import given
from hypothesis import strategies as st

from llmx.caches.fingerprint import fingerprint

text = st.text(st.characters(codec="utf-8"), max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
bodies = st.dictionaries(text, values, max_size=5)


def turned(value: object) -> object:
    """The same JSON with every object's keys in the reverse order."""
    if isinstance(value, dict):
        return {key: turned(inner) for key, inner in reversed(value.items())}
    return [turned(inner) for inner in value] if isinstance(value, list) else value


def as_sent(body: object) -> str:
    return json.dumps(json.loads(orjson.dumps(body)))


@given(bodies)
def test_the_order_of_keys_matters(body):
    """An object that is sent in another order is another question, however deep."""
    same = fingerprint("e", "s", body) == fingerprint("e", "s", turned(body))
    assert same == (as_sent(body) == as_sent(turned(body)))


@given(bodies, bodies)
def test_different_bodies_have_different_fingerprints(first, second):
    """Equal fingerprints mean equal JSON, in the order in which it is sent."""
    same = fingerprint("e", "s", first) == fingerprint("e", "s", second)
    assert same == (as_sent(first) == as_sent(second))


@given(text, text, text, text)
def test_parts_do_not_run_together(endpoint, schema, other_endpoint, other_schema):
    """What moves from one part to its neighbour is another question."""
    same = fingerprint(endpoint, schema, {}) == fingerprint(other_endpoint, other_schema, {})
    assert same == ((endpoint, schema) == (other_endpoint, other_schema))
