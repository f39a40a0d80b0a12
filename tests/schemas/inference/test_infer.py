"""A proposed file takes every row it was made from, is laid out, and says what was seen."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from llmx.errors import UsageError
from llmx.schemas import Schema, load_schema
from llmx.schemas.advice import advise
from llmx.schemas.inference import Inferred, infer
from llmx.types import Record

KEYS = st.sampled_from(
    [
        "name",
        "first name",
        "class",
        "größe",
        "model_x",
        "str",
        "datetime",
        "Row",
        "_x",
        "a-b",
        "A",
        "Field",
        "ﬁ",
        "1",
        "",
    ]
) | st.text(max_size=6)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.dates().map(str)
    | st.datetimes(timezones=st.none() | st.timezones()).map(lambda moment: moment.isoformat())
    | st.sampled_from(["red", "green", "it's", 'say "x"', "a\\b", "two\nlines", "yes", "17", "\ud800"])
    | st.text(max_size=8)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)
ROWS = st.lists(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4), min_size=1, max_size=8)


def inferred(rows: list[Any], **options: Any) -> Inferred:
    return infer((Record(index, row, index + 1, "rows.jsonl") for index, row in enumerate(rows)), **options)


def loaded(source: str, folder: Path, name: str = "Row") -> Schema:
    path = folder / "schema.py"
    path.write_text(source, encoding="utf-8")
    return load_schema(f"{path}:{name}", cwd=folder)


def fields(rows: list[Any], tmp_path: Path, **options: Any) -> dict[str, Any]:
    """The JSON Schema of each field."""
    found = loaded(inferred(rows, **options).source, tmp_path).json_schema["properties"]
    return dict(found)


def is_json(value: Any) -> bool:
    """Whether it has no lone surrogates, which no JSON text in UTF-8 can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS)
def test_every_row_is_accepted(rows: list[dict[str, Any]]) -> None:
    """Whatever mixes in a column, is absent or is named oddly."""
    try:
        source = inferred([{"gold": row} for row in rows]).source
    except UsageError as error:
        assert str(error) == "no column has a value to make a field of"  # noqa: PT017
        return
    with tempfile.TemporaryDirectory() as folder:
        schema = loaded(source, Path(folder))
        for row in filter(is_json, rows):
            value = schema.dump(schema.parse(json.dumps(row)))
            assert set(value) <= set(row) | set(schema.fields)


@settings(
    deadline=None,
    max_examples=15,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.lists(ROWS, min_size=10, max_size=10))
def test_files_are_laid_out(many: list[list[dict[str, Any]]]) -> None:
    """`ruff format` would change nothing, and no import is unused or out of order."""
    with tempfile.TemporaryDirectory() as folder:
        for number, rows in enumerate(many):
            try:
                source = inferred([{"gold": row} for row in rows]).source
            except UsageError:
                continue
            (Path(folder) / f"s{number}.py").write_text(source, encoding="utf-8")
        ruff = [sys.executable, "-m", "ruff"]
        for command in (
            ["format", "--isolated", "--diff", "-q"],
            ["check", "--isolated", "--select", "F,I", "-q"],
        ):
            done = subprocess.run([*ruff, *command, folder], capture_output=True, text=True)
            assert done.stdout == ""


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS)
def test_the_same_rows_give_the_same_file(rows: list[dict[str, Any]]) -> None:
    """Byte for byte."""
    made = []
    for _ in range(2):
        try:
            made.append(inferred([{"gold": row} for row in rows]))
        except UsageError as error:
            made.append(str(error))  # type: ignore[arg-type]
    assert made[0] == made[1]


REVIEW = [
    {"tone": tone, "stars": n % 5 + 1, "due": "2024-02-29", "tags": ["a", "b"], "who": {"first name": "Ada"}}
    for n, tone in enumerate(["good"] * 5 + ["bad"] * 3 + ["mixed"] * 4)
]


def test_types(tmp_path: Path) -> None:
    """Choices, commonest first; numbers, dates, lists and objects."""
    schema = loaded(inferred([{"gold": row} for row in REVIEW]).source, tmp_path)
    found = schema.json_schema["properties"]
    assert found["tone"]["enum"] == ["good", "mixed", "bad"]
    assert (found["stars"]["type"], found["due"]["format"]) == ("integer", "date")
    assert found["tags"]["items"]["enum"] == ["a", "b"]
    assert schema.dump(schema.parse(json.dumps(REVIEW[0])))["who"] == {"first name": "Ada"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5], "float"),
        ([True, False], "bool"),
        ([1, "many"], "int | str"),
        ([["a"], "a"], "str | list[str]"),
        (["2024-01-31", "soon"], "str"),
        (["2024-01-31T10:00:00", "2024-01-31T10:00:00Z"], "datetime.datetime"),
        (["17", "18"], "str"),
        ([[], []], "list[str]"),
        ([["a", None]], "list[str | None]"),
    ],
)
def test_the_type_of_what_mixes(values: list[Any], expected: str) -> None:
    """A union where kinds mix; text stays text, for JSON would have said otherwise."""
    assert f"    v: {expected} = Field(" in inferred([{"gold": {"v": value}} for value in values]).source


@pytest.mark.parametrize(
    ("column", "cells", "expected"),
    [
        ("n", ["1", "-20"], "int"),
        ("n", ["1", "2.5"], "float"),
        ("n", ["007", "12"], "str"),
        ("zip_code", ["53705", "10001"], "str"),
        ("ok", ["true", "FALSE"], "bool"),
        ("n", ["1", ""], "int | None"),
        ("l", ['["a"]', '["b", "c"]'], "list[str]"),
        ("n", ["9999999999999999999"], "str"),
    ],
)
def test_cells_of_csv(column: str, cells: list[str], expected: str) -> None:
    """Numbers and truth values are found in texts, but codes are none, and an empty cell is no value."""
    source = inferred([{column: cell, "other": "x"} for cell in cells], as_text=True).source
    assert f"    {column}: {expected} = Field(" in source


def test_what_is_absent_or_null_is_optional(tmp_path: Path) -> None:
    """And what is in every row is not."""
    rows = [{"gold": {"a": 1, "b": None, "c": 1}}, {"gold": {"a": 2, "b": 3}}]
    schema = loaded(inferred(rows).source, tmp_path)
    assert schema.json_schema["required"] == ["a"]
    assert schema.dump(schema.parse('{"a": 1}')) == {"a": 1, "b": None, "c": None}


def test_reasoning_comes_before_the_answer() -> None:
    """A model that writes its answer first has nothing left to reason about."""
    source = inferred([{"gold": {"answer": "x", "reasoning": "because"}}]).source
    assert source.index(" reasoning:") < source.index(" answer:")


def test_labels_that_are_written_in_many_ways_are_text() -> None:
    """North and NORTH are copied out of texts, not chosen."""
    rows = [{"gold": {"d": text}} for text in ["North", "NORTH", "South"] * 5]
    assert "Literal" not in inferred(rows).source


def test_keys_that_are_data_become_pairs(tmp_path: Path) -> None:
    """What a provider is asked for is a list; what is read and written is the object."""
    rows = [{"gold": {"parts": {f"part {n * 3 + k}": str(n) for k in range(3)}}} for n in range(40)]
    found = inferred(rows)
    assert found.notes[0].text == "120 keys, so they are data: asked for as a list of names and values"
    schema = loaded(found.source, tmp_path)
    assert schema.dump(schema.parse(json.dumps(rows[0]["gold"]))) == rows[0]["gold"]
    asked = {"parts": [{"name": "wheel", "value": "4"}]}
    assert schema.dump(schema.parse(json.dumps(asked))) == {"parts": {"wheel": "4"}}
    assert schema.json_schema["properties"]["parts"]["type"] == "array"


def test_rare_columns_are_left_out_and_said() -> None:
    """A row with many keys, each in few rows, keeps the commonest."""
    rows = [{"gold": {f"k{n}": 1, "all": 1}} for n in range(80)]
    found = inferred(rows)
    assert ("", "41 of 81 keys, the rarest: data rather than names of fields") in [
        (note.path, note.text) for note in found.notes if note.left_out
    ]
    assert found.source.count("= Field(") == 40


def test_columns_are_chosen_where_no_gold_is() -> None:
    """All but keys, names that begin with _, and the text to read; what is left out is said."""
    rows = [{"id": n, "text": "hello", "_x": 1, "tone": "good"} for n in range(3)]
    found = inferred(rows)
    assert "    tone: str = Field(" in found.source
    assert found.source.count("= Field(") == 1
    assert [note.path for note in found.notes if note.left_out] == ["text", "id"]
    assert "    text: str" in inferred(rows, columns=["text"]).source


def test_no_long_text_and_no_number_of_an_account_gets_into_a_file() -> None:
    """Descriptions show short values only, and of long numbers the form; or nothing, if so wished."""
    secret = "4454794511390933"
    rows = [{"gold": {"card": secret, "note": "private " * 10, "mail": "ada@example.org", "city": "Ulm"}}]
    source = inferred(rows).source
    assert "such as 9999999999999999" in source
    assert "such as Ulm" in source
    assert [word for word in (secret, "private", "ada@") if word in source] == []
    assert "Ulm" not in inferred(rows, examples=False).source


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], {}, "there is no row"),
        ([{"gold": "x"}], {}, "rows.jsonl:1: 'gold' is 'x', not an object with the fields"),
        ([{"gold": None}], {}, "there is no row with a value in 'gold'"),
        ([{"a": None}], {}, "no column has a value to make a field of"),
        ([{"a": 1}], {"columns": ["b"]}, "no row has a column 'b'"),
        ([{"a": 1}], {"name": "class"}, "--name 'class' cannot be the name of a class"),
        ([{"a": 1}], {"name": "Field"}, "--name 'Field' is taken by what the file imports"),
        (
            [{f"k{n}": 1} for n in range(2_001)],
            {},
            "the rows have more different keys than a schema has fields: they are data, not names",
        ),
    ],
)
def test_what_nothing_can_be_made_of(rows: list[Any], options: dict[str, Any], message: str) -> None:
    """Each with a hint."""
    with pytest.raises(UsageError) as caught:
        inferred(rows, **options)
    assert str(caught.value) == message
    assert caught.value.hint


FACTS = {
    "email": "a@b.org",
    "price": 9.5,
    "ordered_at": "2024-02-29",
    "weight": 3,
    "city": "Ulm",
    "reasoning": "as",
}


def test_proposals_have_no_warnings(tmp_path: Path) -> None:
    """Of the rules about accuracy: they describe every field, and say of facts that they are always stated."""
    rows = [{"gold": {**row, **FACTS, "parts": [{"colour": "red"}]}} for row in REVIEW]
    found = advise(loaded(inferred(rows).source, tmp_path))
    assert [one for one in found if one.severity == "warning"] == []


def test_what_is_too_deep_is_not_looked_at(tmp_path: Path) -> None:
    """It is accepted all the same, and said."""
    deep: Any = {"end": 1}
    for _ in range(9):
        deep = {"in": deep}
    found = inferred([{"gold": deep}])
    assert found.notes[-1].text == "stands more than 8 levels deep, and is not looked at"
    loaded(found.source, tmp_path).parse(json.dumps(deep))


def test_examples_of_days_are_shown_as_they_are() -> None:
    """They are no numbers of accounts; of one number there is no range."""
    rows = [{"gold": {"day": day, "n": 7}} for day in ("2024-02-29", "soon")]
    source = inferred(rows).source
    assert 'description="day; such as 2024-02-29, soon"' in source
    assert 'description="n; 7 in the examples"' in source


def test_many_numbers_in_texts_are_no_labels() -> None:
    """A few are, such as grades."""
    made = [
        inferred([{"gold": {"n": str(n % different)}} for n in range(120)]).source for different in (5, 20)
    ]
    assert ["Literal" in source for source in made] == [True, False]
