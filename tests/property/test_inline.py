"""Laws of inline schemas: what is written is read back, and nothing but UsageError ever comes out."""

from __future__ import annotations

from fuzz.targets import schemas
from hypothesis import given, settings
from hypothesis import strategies as st

from llmx.schemas import parse_inline
from llmx.schemas.inline import InlineField, read_fields

NAMES = st.from_regex(r"\w[\w-]{0,8}", fullmatch=True)
BARE = st.from_regex(r"[\w./+-]{1,8}", fullmatch=True).filter(
    lambda word: word not in {"str", "int", "float", "bool", "date", "datetime", "None", "null", "list"}
)
QUOTABLE = st.text(
    st.characters(exclude_characters="\"'\n", exclude_categories=["Cs"]), min_size=1, max_size=8
)
CHOICES = st.lists(BARE | QUOTABLE.filter(str.strip), min_size=2, max_size=4, unique=True)
TYPES = st.recursive(
    st.sampled_from(["str", "int", "float", "bool", "date", "datetime"])
    | CHOICES.map(lambda words: ("choices", tuple(words))),
    lambda inside: inside.map(lambda one: ("list", one)),
    max_leaves=3,
)
DESCRIPTIONS = st.none() | st.text(
    st.characters(exclude_characters="\"'\n", exclude_categories=["Cs"]), max_size=20
).map(str.strip).filter(bool)
FIELDS = st.lists(
    st.builds(InlineField, NAMES, TYPES, st.booleans(), DESCRIPTIONS),
    min_size=1,
    max_size=6,
    unique_by=lambda one: one.name,
)


def written(one: InlineField) -> str:
    """A field in the inline form, everything quoted that may have to be."""
    optional = "?" if one.optional else ""
    description = f': "{one.description}"' if one.description is not None else ""
    return f"{one.name} {written_type(one.type)}{optional}{description}"


def written_type(declared: object) -> str:
    if isinstance(declared, str):
        return declared
    assert isinstance(declared, tuple)
    kind, inside = declared
    return f"list[{written_type(inside)}]" if kind == "list" else "|".join(f"'{word}'" for word in inside)


@given(FIELDS, st.sampled_from([",", ", ", "\n", " ,\n  "]))
def test_written_fields_are_read_back(fields: list[InlineField], separator: str) -> None:
    """Writing and reading are each other's inverse."""
    assert fields == read_fields(separator.join(map(written, fields)))


@settings(deadline=None)  # a model is built each time
@given(FIELDS)
def test_written_fields_make_a_model(fields: list[InlineField]) -> None:
    """Whatever the names are, the schema has them in order."""
    assert [one.name for one in fields] == parse_inline(", ".join(map(written, fields))).fields


@settings(deadline=None)  # a model is built of what happens to be one
@given(st.binary(max_size=100) | st.text("ab ,:?|[]\"'\nlistrd").map(str.encode))
def test_no_text_crashes(text: bytes) -> None:
    """Any text is a schema or a UsageError; bytes that are no text are the latter, as on the command line."""
    schemas(text)
