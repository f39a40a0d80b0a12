"""Models out of Python files and modules: imports, and errors of the user's code."""

from __future__ import annotations

import pickle
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, Field, computed_field, field_serializer, field_validator

from llmx.errors import UsageError
from llmx.schemas import load_schema, schema_of
from llmx.schemas.user_code import has_code

IMPORT = "from pydantic import BaseModel\n"


def written(folder: Path, text: str, name: str = "schema.py") -> Path:
    """A schema file in a folder."""
    (folder / name).write_text(text)
    return folder


def problem(folder: Path, spec: str = "schema.py") -> tuple[str, str]:
    """The message and hint of a schema that does not load."""
    with pytest.raises(UsageError) as caught:
        load_schema(spec, cwd=folder)
    return str(caught.value), caught.value.hint


def test_postponed_annotations_and_forward_references_work(tmp_path: Path) -> None:
    """Names are looked up in the file, also those that come later."""
    written(
        tmp_path,
        "from __future__ import annotations\n"
        + IMPORT
        + "class Row(BaseModel):\n    part: Part | None = None\nclass Part(BaseModel):\n    a: int\n",
    )
    value: Any = load_schema("schema.py:Row", cwd=tmp_path).parse('{"part": {"a": 1}}')
    assert value.part.a == 1


def test_values_can_be_pickled(tmp_path: Path) -> None:
    """The module stays importable by its name for as long as the process lives."""
    written(tmp_path, IMPORT + "class Row(BaseModel):\n    a: int\n")
    value = load_schema("schema.py", cwd=tmp_path).parse('{"a": 1}')
    assert pickle.loads(pickle.dumps(value)) == value


def test_siblings_can_be_imported(tmp_path: Path) -> None:
    """The file's folder is on the import path while it loads, and not after."""
    before = list(sys.path)
    written(tmp_path, "SIZE = 3\n", "sibling_of_schema.py")
    written(
        tmp_path,
        IMPORT + "import sibling_of_schema\nclass Row(BaseModel):\n    a: int = sibling_of_schema.SIZE\n",
    )
    assert load_schema("schema.py", cwd=tmp_path).dump(
        load_schema("schema.py", cwd=tmp_path).parse("{}")
    ) == {"a": 3}
    assert before == sys.path


def test_a_file_edited_within_a_second_is_read_anew(tmp_path: Path) -> None:
    """No stale bytecode: both versions have the same size and nearly the same time."""
    for name in ("a", "b"):
        written(tmp_path, IMPORT + f"class Row(BaseModel):\n    {name}: int\n")
        assert load_schema("schema.py", cwd=tmp_path).fields == [name]
    assert not (tmp_path / "__pycache__").exists()


def test_prints_do_not_reach_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """stdout carries rows only."""
    written(tmp_path, IMPORT + "print('hello')\nclass Row(BaseModel):\n    a: int\n")
    load_schema("schema.py", cwd=tmp_path)
    assert capsys.readouterr() == ("", "hello\n")


def test_nested_classes_are_named_with_dots(tmp_path: Path) -> None:
    """A class may be inside another."""
    written(tmp_path, IMPORT + "class Outer:\n    class Row(BaseModel):\n        a: int\n")
    assert load_schema("schema.py:Outer.Row", cwd=tmp_path).name == "Row"


def test_a_file_that_raises_says_where(tmp_path: Path) -> None:
    """The line is that of the user's own file, even when a library raised."""
    written(tmp_path, IMPORT + "import json\n\njson.loads('{')\n")
    message, hint = problem(tmp_path)
    assert message.startswith("schema.py:4: JSONDecodeError: ")
    assert hint == "the file must load: mend the line it names"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\nclass Row(:\n", "schema.py:2: SyntaxError: invalid syntax"),
        ("raise SystemExit(3)\n", "schema.py:1: SystemExit: 3"),
        ("def f():\n    assert False\n\nf()\n", "schema.py:2: AssertionError"),
        (
            IMPORT
            + "from pydantic import Field\nclass Row(BaseModel):\n    a: str = Field(pattern='(?=a)')\n",
            'schema.py:3: SchemaError: Error building "model" validator: SchemaError: Error building "model-fields" '
            'validator: SchemaError: Field "a": SchemaError: Error building "str" validator: SchemaError: regex '
            "parse error: (?=a) ^^^ error: look-around, including look-ahead and look-behind, is not supported",
        ),
    ],
)
def test_every_way_not_to_load(tmp_path: Path, text: str, message: str) -> None:
    """Whatever the file raises is one line, and no traceback."""
    assert problem(written(tmp_path, text))[0] == message


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    """The hint says what to install."""
    assert problem(written(tmp_path, "import no_such_package\n")) == (
        "schema.py:1: ModuleNotFoundError: No module named 'no_such_package'",
        "install 'no_such_package' into the environment that llmx runs in",
    )


def test_several_models_need_a_name(tmp_path: Path) -> None:
    """Imported and private ones do not count."""
    written(
        tmp_path, IMPORT + "class A(BaseModel):\n    a: int\nclass B(A):\n    pass\nclass _C(A):\n    pass\n"
    )
    assert problem(tmp_path) == ("schema.py defines 2 models: A, B", "say which: schema.py:B")


def test_a_file_without_models(tmp_path: Path) -> None:
    """A plain class is not enough."""
    written(tmp_path, IMPORT + "class A:\n    a: int\n")
    assert problem(tmp_path)[0] == "schema.py defines no Pydantic model"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Plain", "another class"),
        ("Data", "a dataclass"),
        ("Typed", "a TypedDict"),
        ("VALUE", "a value of type int"),
    ],
)
def test_what_is_not_a_model(tmp_path: Path, name: str, kind: str) -> None:
    """The message says what it is instead."""
    text = (
        "from dataclasses import dataclass\nfrom typing import TypedDict\nVALUE = 1\n"
        "class Plain: pass\n@dataclass\nclass Data:\n    a: int\nclass Typed(TypedDict):\n    a: int\n"
    )
    written(tmp_path, text)
    message = f"schema.py:{name} is not a Pydantic model but {kind}"
    assert problem(tmp_path, f"schema.py:{name}") == (message, "derive the class from pydantic.BaseModel")


HOOKS = """
from pydantic import BaseModel, ConfigDict
def extra(schema):
    raise KeyError("q")
class Hook(BaseModel):
    a: str
    @classmethod
    def __get_pydantic_json_schema__(cls, core, handler):
        raise RuntimeError("boom")
class Extra(BaseModel):
    model_config = ConfigDict(json_schema_extra=extra)
    a: str
class Value(BaseModel):
    model_config = ConfigDict(json_schema_extra={"x": object()})
    a: str
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Hook", "hooks.py:9: RuntimeError: boom"),
        ("Extra", "hooks.py:4: KeyError: 'q'"),
        ("Value", "hooks.py:Value: its JSON Schema is no JSON: Object of type object"),
    ],
)
def test_hooks_for_json_schema_that_raise(tmp_path: Path, name: str, message: str) -> None:
    """They run when the schema is made, long after the file has loaded."""
    (tmp_path / "hooks.py").write_text(HOOKS)
    with pytest.raises(UsageError, match=re.escape(message)):
        load_schema(f"hooks.py:{name}", cwd=tmp_path)


def test_a_module_that_raises(tmp_path: Path) -> None:
    """The file and the line at fault are named."""
    file = written(tmp_path, "\n1 / 0\n", "module_that_raises.py")
    told = problem(tmp_path, "module_that_raises:Row")[0]
    assert told == f"{tmp_path / 'module_that_raises.py'}:2: ZeroDivisionError: division by zero", file


def test_a_module_that_is_no_python(tmp_path: Path) -> None:
    """So are those of a syntax error, which no code of the module has run into."""
    written(tmp_path, "x = 1\ny = (\n", "module_of_nonsense.py")
    assert problem(tmp_path, "module_of_nonsense:Row")[0].startswith(
        f"{tmp_path / 'module_of_nonsense.py'}:2: SyntaxError"
    )


# Functions of the user's


class Part(BaseModel):
    """A part."""

    size: int = Field(ge=0, description="in bytes")
    tags: list[str] = []


class Validated(Part):
    """It has a validator."""

    @field_validator("size")
    @classmethod
    def _checked(cls, size: int) -> int:
        return size


class Serialized(Part):
    """It has a serializer."""

    @field_serializer("size")
    def _shown(self, size: int) -> int:
        return size


class Computed(Part):
    """It has a computed field."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return 2 * self.size


class Finished(Part):
    """It is looked at when it is made."""

    def model_post_init(self, context: Any) -> None:
        self.tags.append("done")


class Initialized(Part):
    """It is made in its own way."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


class Annotations(BaseModel):
    """A type brings the function."""

    size: Annotated[int, AfterValidator(abs)]


class Whole(BaseModel):
    """Its parts have none."""

    parts: list[Part | None]


class Broken(BaseModel):
    """A part has one."""

    parts: dict[str, Validated]


@pytest.mark.parametrize("model", [Part, Whole], ids=lambda model: model.__name__)
def test_a_model_without_functions(model: type[BaseModel]):
    """What it makes of an answer is all in its JSON Schema."""
    assert not schema_of(model).code


@pytest.mark.parametrize(
    "model",
    [Validated, Serialized, Computed, Finished, Initialized, Annotations, Broken],
    ids=lambda model: model.__name__,
)
def test_a_model_with_functions(model: type[BaseModel]):
    """Its own, or those of a part of it: what they do no digest can see."""
    assert has_code(model)
