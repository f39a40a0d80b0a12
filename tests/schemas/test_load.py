"""Which form a spec has, and what is said when there is no such schema."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from llmx.errors import UsageError
from llmx.schemas import Schema, load_schema, load_schemas, ready_made, schema_of

MODEL = "from pydantic import BaseModel\nclass Row(BaseModel):\n    a: int\n"
READY = "address, contact, entities, invoice, product, sentiment, ticket"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a schema of each kind of file."""
    (tmp_path / "rows.py").write_text(MODEL)
    (tmp_path / "rows.json").write_text('{"type": "object", "properties": {"a": {"type": "integer"}}}')
    (tmp_path / "my schemas").mkdir()
    (tmp_path / "my schemas" / "rows.py").write_text(MODEL)
    (tmp_path / "module_of_rows.py").write_text(MODEL)
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "name", "fields"),
    [
        ("sentiment", "Sentiment", ["sentiment"]),
        ("rows.py", "Row", ["a"]),
        ("rows.py:Row", "Row", ["a"]),
        ("./rows.py:Row", "Row", ["a"]),
        ("my schemas/rows.py:Row", "Row", ["a"]),
        ("module_of_rows:Row", "Row", ["a"]),
        ("rows.json", "rows", ["a"]),
        ("sentiment good|bad", "Extraction", ["sentiment"]),
        ("sentiment?", "Extraction", ["sentiment"]),
        ("who: the person named in rows.py", "Extraction", ["who"]),
        ("a: see x/y.py, b", "Extraction", ["a", "b"]),
        ("  a,b\n", "Extraction", ["a", "b"]),
    ],
)
def test_every_form_is_told_apart(folder: Path, spec: str, name: str, fields: list[str]) -> None:
    """Names, files, modules and inline schemas need no prefix."""
    schema = load_schema(spec, cwd=folder)
    assert (name, fields, spec.strip()) == (schema.name, schema.fields, schema.source)


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        ("", "the schema is empty", f"name a ready-made one: {READY}"),
        (
            "sentimnt",
            "there is no schema named 'sentimnt'",
            f"did you mean 'sentiment'? ready-made: {READY}; one inline field is written 'sentimnt str'",
        ),
        (
            "zzz",
            "there is no schema named 'zzz'",
            f"ready-made: {READY}; one inline field is written 'zzz str'",
        ),
        ("row.py", "there is no schema file 'row.py'", "did you mean 'rows.py'?"),
        ("row.py:Row", "there is no schema file 'row.py'", "did you mean 'rows.py'?"),
        (
            "my schemas/row.py",
            "there is no schema file 'my schemas/row.py'",
            "did you mean 'my schemas/rows.py'?",
        ),
        (
            "contacts.json",
            "there is no schema file 'contacts.json'",
            "did you mean the ready-made schema 'contact'?",
        ),
        ("my schemas.py", "inline schema, character 4: unknown type 'schemas.py'", None),
        ("rows.py:Roww", "rows.py has no class 'Roww'", "did you mean rows.py:Row? it has Row"),
        (
            "no_such_module:Row",
            "there is no module 'no_such_module'",
            "a file is given by its path: no_such_module.py:Row; "
            "an inline description has a space after its colon: 'no_such_module: Row'",
        ),
    ],
)
def test_what_is_not_there(folder: Path, spec: str, message: str, hint: str | None) -> None:
    """The message names what was asked for, the hint the nearest that there is."""
    with pytest.raises(UsageError) as caught:
        load_schema(spec, cwd=folder)
    assert message == str(caught.value)
    assert hint in (None, caught.value.hint)


def test_a_folder_is_no_schema(folder: Path) -> None:
    """A folder whose name ends like a file's."""
    (folder / "odd.py").mkdir()
    with pytest.raises(UsageError, match=r"the schema 'odd.py' is a folder"):
        load_schema("odd.py", cwd=folder)


def test_another_kind_of_file_is_no_schema(folder: Path) -> None:
    """The hint says which kinds are."""
    (folder / "schema.yaml").write_text("a: 1")
    with pytest.raises(UsageError, match=r"the schema 'schema.yaml' is neither a .py nor a .json file"):
        load_schema("schema.yaml", cwd=folder)


def test_an_absolute_path_needs_no_cwd(folder: Path) -> None:
    """`cwd` is for relative paths only."""
    assert load_schema(str(folder / "rows.py"), cwd=Path("/")).fields == ["a"]


class Row(BaseModel):
    """A model of a library user."""

    a: int


@pytest.mark.parametrize(
    "obj",
    [
        Row,
        {"title": "Row", "type": "object", "properties": {"a": {"type": "integer"}}},
        "a int",
        schema_of(Row),
    ],
)
def test_library_users_may_pass_what_they_have(
    obj: type[BaseModel] | dict[str, object] | str | Schema,
) -> None:
    """A class, a JSON Schema, a spec, or a schema that is one already."""
    assert schema_of(obj).fields == ["a"]


def test_other_objects_are_no_schemas() -> None:
    """An instance instead of a class is a common slip."""
    with pytest.raises(UsageError, match="is not a schema"):
        schema_of(Row(a=1))  # type: ignore[arg-type]  # the point of the test


def test_every_ready_made_name_loads() -> None:
    """By its name alone, from any folder."""
    assert list(ready_made()) == READY.split(", ")
    for name in ready_made():
        assert load_schema(name, cwd=Path("/")).source == name


@pytest.mark.parametrize("ending", ["", ".py", ".json", ".py:Model"])
def test_a_name_that_no_file_can_have(tmp_path: Path, ending: str) -> None:
    """It is told as any other that is not there."""
    with pytest.raises(UsageError):
        load_schema("a" * 400 + ending, cwd=tmp_path)


def test_a_file_without_a_model_is_all_its_models(tmp_path: Path) -> None:
    """But bases, parts of others and what no answer can be made for."""
    (tmp_path / "s.py").write_text(
        "from pydantic import BaseModel, RootModel\n"
        "class Base(BaseModel):\n    pass\n"
        "class Common(BaseModel):\n    id: int\n"
        "class Part(BaseModel):\n    n: int\n"
        "class Parts(RootModel[list[Part]]):\n    pass\n"
        "class One(Common):\n    part: Part | None\n"
        "class Two(Base):\n    m: dict[str, list[Part]]\n"
    )
    assert [one.source for one in load_schemas("s.py", cwd=tmp_path)] == ["s.py:One", "s.py:Two"]
    assert [one.name for one in load_schemas("s.py:Common", cwd=tmp_path)] == ["Common"]
    assert [one.name for one in load_schemas("sentiment", cwd=tmp_path)] == ["Sentiment"]
    (tmp_path / "none.py").write_text("x = 1\n")
    assert load_schemas("none.py", cwd=tmp_path) == ()
