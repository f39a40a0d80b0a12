"""A model as the text of a Python file, laid out as `ruff format` leaves it.

It is the last step of `llmx schema infer`. Where something may not fit on a line it is spread with a comma behind
the last part, which a formatter keeps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from llmx.schemas.inference.types import (
    Choices,
    Either,
    Field,
    ListOf,
    Maybe,
    Model,
    Pairs,
    Plain,
    Type,
    spelled,
)

__all__ = ["written"]

_WIDTH = 88
"""Columns: ruff's own default, https://docs.astral.sh/ruff/settings/#line-length."""
_TAKEN_BY_ALL = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""Names of properties that every provider takes: Anthropic allows no others in a tool's input."""
_AS_PAIRS = '''\
def as_pairs(value: Any) -> Any:
    """An object as the list of names and values that a model is asked for."""
    if isinstance(value, dict):
        return [{"name": name, "value": inner} for name, inner in value.items()]
    return value'''
_AS_OBJECT = '''\
def as_object(pairs: list[Any]) -> dict[str, Any]:
    """The list as the object that is written."""
    return {pair.name: pair.value for pair in pairs}'''
_FROM = {
    "typing": ("Annotated", "Any", "Literal"),
    "pydantic": (
        *("AliasChoices", "BaseModel", "BeforeValidator", "ConfigDict", "Field", "PlainSerializer"),
    ),
}


def written(model: Model, docstring: str) -> str:
    """The file's text.

    Args:
        docstring: of the file; one line without quotes.
    """
    blocks = list(dict.fromkeys(_blocks_of(model)))
    body = "\n\n\n".join(blocks)
    apart = "\n\n\n" if body.startswith(("class ", "def ")) else "\n\n"  # as isort has it
    return f'"""{docstring}"""\n\n{_imports(body)}{apart}{body}\n'


def _imports(body: str) -> str:
    used = set(re.findall(r"[A-Za-z_]\w*", _without_strings(body)))
    lines = ["import datetime"] if "datetime" in used else []
    typing, pydantic = (sorted(used & {*names}) for names in _FROM.values())
    if typing:
        lines.append(f"from typing import {', '.join(typing)}")
    return "\n".join([*lines, *([""] if lines else []), f"from pydantic import {', '.join(pydantic)}"])


def _without_strings(body: str) -> str:
    return re.sub(r'"""[^"]*"""|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'', '""', body)


def _blocks_of(found: Type) -> Iterator[str]:
    """What a type needs to stand above it in the file, and itself where it has a name."""
    match found:
        case Choices(name, values):
            yield f"{name} = Literal[\n{_lines(map(_quoted, values), 1)}]"
        case ListOf(inside) | Maybe(inside):
            yield from _blocks_of(inside)
        case Either(types):
            for one in types:
                yield from _blocks_of(one)
        case Pairs(name, pair, value):
            yield from (_AS_PAIRS, _AS_OBJECT)
            yield from _blocks_of(_pair(pair, value))
            parts = [f"list[{pair}]", "BeforeValidator(as_pairs)", "PlainSerializer(as_object)"]
            yield f"{name} = Annotated[\n{_lines(parts, 1)}]"
        case Model(name, fields, docstring):
            for place, field in enumerate(fields):
                yield from _blocks_of(field.type)
                if _long(field):
                    yield f"{name}_{place} = {spelled(field.type)}"
            yield _class(name, fields, docstring)


def _pair(name: str, value: Type) -> Model:
    fields = (
        Field("name", "name", Plain("str"), optional=False, description="the name"),
        Field("value", "value", value, optional=False, description="the value that goes with the name"),
    )
    return Model(name, fields, "One name and its value.")


def _class(name: str, fields: tuple[Field, ...], docstring: str) -> str:
    parts = [f"class {name}(BaseModel):", f'    """{docstring}"""', ""]
    if any(field.key != field.attribute and _TAKEN_BY_ALL.fullmatch(field.key) for field in fields):
        parts += ["    model_config = ConfigDict(populate_by_name=True)", ""]
    return "\n".join([*parts, *(_field(f"{name}_{place}", field) for place, field in enumerate(fields))])


def _field(alias: str, field: Field) -> str:
    inside = alias if _long(field) else spelled(field.type)
    head = f"    {field.attribute}: {inside}{' | None' if field.optional else ''} = Field("
    arguments = ["default=None"] if field.optional else []
    arguments += [*_names(field), f"description={_quoted(field.description)}"]
    line = f"{head}{', '.join(arguments)})"
    if len(line) <= _WIDTH and line.isascii() and "\n" not in line:
        return line
    return f"{head}\n{_lines(arguments, 2)}    )"


def _names(field: Field) -> list[str]:
    """A key that not every provider takes is asked for by the attribute's name, and written as it was."""
    if field.key == field.attribute:
        return []
    if _TAKEN_BY_ALL.fullmatch(field.key):
        return [f"alias={_quoted(field.key)}"]
    both = _lines([_quoted(field.attribute), _quoted(field.key)], 3)
    return [f"validation_alias=AliasChoices(\n{both}        )", f"serialization_alias={_quoted(field.key)}"]


def _long(field: Field) -> bool:
    """Whether a type needs a name of its own for its field to begin on one line."""
    rest = len("    :  | None = Field(") + len(field.attribute)
    return rest + len(spelled(field.type)) > _WIDTH


def _lines(parts: Iterable[str], depth: int) -> str:
    return "".join(f"{'    ' * depth}{part},\n" for part in parts)


def _quoted(text: str) -> str:
    """A text as a literal of Python, in the quotes that need fewer escapes."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    escaped = "".join(_escaped(letter, quote) for letter in text)
    return f"{quote}{escaped}{quote}"


def _escaped(letter: str, quote: str) -> str:
    if letter in ("\\", quote):
        return f"\\{letter}"
    return letter if letter.isprintable() else ascii(letter)[1:-1]
