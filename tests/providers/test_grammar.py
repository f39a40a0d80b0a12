"""The grammar that holds the embedded model to a schema, as text; test_local.py shows that it holds."""

from __future__ import annotations

import json

from llmx.providers.grammar import LAYOUT, PROBE_SIGN, json_rule, probe, schema_grammar


def test_the_schema_is_in_the_grammar() -> None:
    """llguidance reads it as it is, with our layout."""
    schema = {"type": "object", "properties": {"größe": {"type": "integer"}}}
    assert json.loads(json_rule(schema).removeprefix("%json ")) == {**schema, "x-guidance": LAYOUT}
    assert schema_grammar(schema) == f"%llguidance {{}}\nstart: {json_rule(schema)}"


def test_the_users_schema_is_not_changed() -> None:
    """The layout is added to a copy."""
    schema: dict[str, object] = {}
    json_rule(schema)
    assert schema == {}


def test_a_probe_asks_for_a_sign_first() -> None:
    """Nothing but the start rule differs."""
    grammar = schema_grammar({"title": "start: here"})
    assert probe(grammar) == grammar.replace("start: %json", f'start: "{PROBE_SIGN}" %json')
