"""Each rule finds what it is about, and leaves alone what only looks like it."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import Any, Literal, Optional

import pytest
from pydantic import BaseModel, Field, create_model

from llmx.errors import UsageError
from llmx.schemas import load_schema, schema_of
from llmx.schemas.advice import RULES, Advice, advise, codes_of


def advice(**fields: tuple[Any, str]) -> list[Advice]:
    """What is said of a model with these fields: type and description of each."""
    made: dict[str, Any] = {
        name: (kind, Field(description=told or None)) for name, (kind, told) in fields.items()
    }
    return list(advise(schema_of(create_model("Row", **made))))


def found(**fields: tuple[Any, str]) -> list[tuple[str, str, str]]:
    return [(one.code, one.severity, one.path) for one in advice(**fields)]


TEXT = (str, "the text that is meant here")
LABEL = (Literal["spam", "fine"], "spam: nobody asked for it; fine: somebody did")
CODES = Literal["AB", "CD", "EF"]
NINE = Literal["a1", "b2", "c3", "d4", "e5", "f6", "g7", "h8", "other"]
FIVE = Literal["red", "green", "blue", "black", "white"]
FIVE_TOLD = "one of red, green, blue, black, white"
W, N = "warning", "note"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"label": LABEL, "reasoning": TEXT}, [("R01", W, "reasoning")]),
        ({"reasoning": TEXT, "label": LABEL}, []),
        ({"id": TEXT, "rationale": TEXT, "label": LABEL}, []),
        ({"label": LABEL, "reason": (str, "the reason why the goods were returned")}, [("R01", W, "reason")]),
        ({"label": LABEL, "reason": (str, "the complaint's subject")}, []),
        ({"data": (str, "the city")}, [("R02", W, "data")]),
        ({"field1": (str, "the town where the sender lives")}, [("R02", N, "field1")]),
        ({"name": TEXT, "value": TEXT}, []),
        ({"email": (str, "where to write to")}, [("R03", W, "email")]),
        ({"email": (Optional[str], "where to write to")}, []),  # noqa: UP045 - made at run time
        ({"email": (str, "where to write to; always stated")}, []),
        ({"colour": (str, "the colour, if stated")}, [("R03", W, "colour")]),
        ({"ordered_at": (datetime.date, "when it was ordered")}, [("R03", W, "ordered_at")]),
        ({"state": (CODES, "the state of it")}, [("R06", W, "state")]),
        ({"state": (CODES, "AB: new; CD: old; EF: gone")}, []),
        ({"kind": (NINE, "the kind of it")}, [("R06", N, "kind")]),
        ({"kind": (Literal["top_up", "Top up", "other"], "top_up, Top up or other")}, [("R07", W, "kind")]),
        ({"kind": (Literal["colour", "colours"], "which")}, [("R07", W, "kind")]),
        ({"kind": (Literal["cancelled order", "canceled order"], "which")}, [("R07", N, "kind")]),
        ({"kind": (Literal["increase", "decrease"], "which")}, []),
        ({"paint": (FIVE, FIVE_TOLD)}, [("R08", N, "paint")]),
        ({"paint": (Optional[FIVE], FIVE_TOLD)}, []),  # noqa: UP045 - made at run time
        ({"paint": (Literal["red", "green", "blue", "black", "other"], FIVE_TOLD)}, []),
        ({"no_receipt": (bool, "whether it is missing")}, [("R09", W, "no_receipt")]),
        ({"notable": (bool, "whether it is worth a note")}, []),
        ({"quantity": (str, "how many")}, [("R10", W, "quantity")]),
        ({"quantity": (str, "how many, as written")}, []),
        ({"account": (str, "the name of the account")}, []),
        ({"weight": (float, "how heavy it is")}, [("R11", N, "weight")]),
        ({"weight": (float, "how heavy it is, in kg")}, []),
        ({"weight_kg": (float, "how heavy it is")}, []),
        ({"total": (float, "the sum"), "currency": (Optional[str], "its code")}, []),  # noqa: UP045
        ({"colour": (str, "")}, [("R12", W, "colour")]),
        ({"extras": (dict[str, int], "all that is added")}, [("R13", W, "extras")]),
        ({"anything": (Any, "whatever it is")}, [("R14", W, "anything")]),
        ({"date": (Optional[str], "the day of it")}, [("R15", W, "date")]),  # noqa: UP045 - made at run time
        ({"date": (Optional[str], "the day, as written")}, []),  # noqa: UP045 - made at run time
        ({"change": (int, "calculate what is given back")}, [("R16", N, "change")]),
        ({"reasoning": TEXT, "change": (int, "calculate what is given back")}, []),
        ({"start_city": (Optional[str], "the city at the end")}, [("R17", W, "start_city")]),  # noqa: UP045
        ({"start_city": (Optional[str], "from start to end")}, []),  # noqa: UP045 - made at run time
        ({"confidence": (float, "between 0 and 1")}, [("R18", W, "confidence")]),
        ({"confidence_interval": (str, "as the paper has it")}, []),
    ],
)
def test_rules(fields: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    """Its code, severity and place."""
    assert found(**fields) == expected


def test_size() -> None:
    """More than 30 fields are worth a note, more than 60 a warning."""
    many = [{f"colour_{n}x": TEXT for n in range(count)} for count in (30, 31, 61)]
    assert [found(**fields) for fields in many] == [[], [("R04", N, "")], [("R04", W, "")]]


def nested(levels: int) -> type[BaseModel]:
    model = create_model("Leaf", colour=(str, Field(description="its colour")))
    for level in range(levels - 1):
        model = create_model(f"Level{level}", inner=(list[model], Field(description="what is inside")))  # type: ignore[valid-type]
    return model


def test_depth() -> None:
    """More than 3 levels are worth a note, more than 5 a warning; the deepest place is named."""
    said = [[(one.code, one.severity) for one in advise(schema_of(nested(levels)))] for levels in (3, 4, 6)]
    assert said == [[], [("R05", N)], [("R05", W)]]
    assert advise(schema_of(nested(4)))[0].path == "inner[].inner[].inner[].colour"


class Tree(BaseModel):
    """Contains itself."""

    name: str = Field(description="the name of the node")
    children: list[Tree] = Field(description="the nodes below")


def test_a_schema_within_itself_ends() -> None:
    """Each definition is looked at once."""
    assert [(one.code, one.path) for one in advise(schema_of(Tree))] == [("R14", "children[]")]


def test_json_schemas_and_inline_ones_are_checked_too() -> None:
    """Whatever the schema came of."""
    root = {"type": "object", "properties": {"data": {"type": "string", "description": "it"}}}
    assert [one.code for one in advise(schema_of(root))] == ["R02"]
    assert [one.code for one in advise(schema_of("price: what it costs in EUR"))] == ["R03", "R10"]


FILE = """
from pydantic import BaseModel, Field
{head}

class Part(BaseModel):{on_part}
    data: str = Field(
        description="something",{on_field}
    )
    confidence: float = Field(description="from 0 to 1")


class Row(BaseModel):
    parts: list[Part] = Field(description="all parts")
"""


@pytest.mark.parametrize(
    ("comments", "expected"),
    [
        ({}, ["R02 parts[].data", "R18 parts[].confidence"]),
        ({"on_field": "  # llmx: ignore[R02]"}, ["R18 parts[].confidence"]),
        ({"on_field": "  # llmx: ignore[vague-name, R18]"}, ["R18 parts[].confidence"]),
        ({"on_part": "  # llmx: ignore[R02,R18]"}, []),
        ({"head": "# llmx: ignore-file[R18]"}, ["R02 parts[].data"]),
        ({"head": '"# llmx: ignore-file[R18]"'}, ["R02 parts[].data", "R18 parts[].confidence"]),
    ],
)
def test_comments_switch_rules_off(comments: dict[str, str], expected: list[str], tmp_path: Path) -> None:
    """On a field, on a class, for a file; a text that looks like one is none."""
    parts = {"head": "", "on_part": "", "on_field": "", **comments}
    (tmp_path / "schema.py").write_text(FILE.format(**parts))
    schema = load_schema(f"{tmp_path}/schema.py:Row", cwd=tmp_path)
    assert [f"{one.code} {one.path}" for one in advise(schema)] == expected
    assert advise(schema, ignore=["R02", "R18"]) == ()


def test_rules_are_named_by_code_or_name() -> None:
    """In any case; else the nearest is named."""
    assert codes_of(["r01", "Vague-Name"]) == {"R01", "R02"}
    with pytest.raises(UsageError) as caught:
        codes_of(["vauge-name"])
    assert caught.value.hint == "did you mean 'vague-name'? llmx schema rules lists them"


def test_every_rule_says_what_it_stands_on() -> None:
    """Evidence has an address; a rule without any says that it is weak."""
    assert [rule.code for rule in RULES] == [f"R{n:02}" for n in range(1, len(RULES) + 1)]
    assert all(rule.evidence or rule.strength == "weak" for rule in RULES)
    assert all(one.url.startswith("https://") and one.year > 2000 for rule in RULES for one in rule.evidence)


def test_a_run_does_not_pay_for_the_rules() -> None:
    """What `llmx extract` imports of schemas does not import them."""
    import subprocess

    code = "import sys, llmx.job, llmx.schemas; sys.exit('llmx.schemas.advice' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
