"""What a request may bring for a schema: data that takes no longer to use than its size says."""

from __future__ import annotations

from typing import Any

import pytest

from llmx.serve.offers import Offers
from llmx.serve.problems import Problem


def doubled(levels: int, node: Any) -> dict[str, Any]:
    """A schema of definitions each of which names the next one twice."""
    defs = {f"d{number}": node({"$ref": f"#/$defs/d{number + 1}"}) for number in range(levels)}
    defs[f"d{levels}"] = {"type": "object", "properties": {"a": {"type": "string"}}}
    return {"type": "object", "properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": defs}


@pytest.mark.parametrize(
    "node",
    [
        lambda next: {"allOf": [next, next]},
        lambda next: {"anyOf": [next, next]},
        lambda next: {"anyOf": [next, {"type": "object", "properties": {"a": next}}]},
        lambda next: {"type": "object", "properties": {"a": next, "b": next}},
    ],
)
def test_a_schema_that_unfolds_without_end_is_refused(node: Any) -> None:
    """Three kilobytes of definitions that name each other would take longer than the service lives."""
    offers = Offers([], {})
    with pytest.raises(Problem) as caught:
        offers.schema(doubled(40, node))
    assert (caught.value.status, caught.value.code) == (422, "schema_too_large")
    assert offers.schema(doubled(4, node)).fields == ["x"]


def test_a_schema_within_itself_is_taken() -> None:
    """A reference to what it stands in is no end without end."""
    tree = {"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}
    assert Offers([], {}).schema(tree).fields == ["left", "right"]
