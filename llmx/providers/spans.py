"""String fields that can only be copied from the row (`--spans`).

A free-form string (type string; no enum, const, format or pattern) becomes a contiguous piece of the row's
text, cut at the edges of words. So the value is verbatim in the row, whatever the model would like to add;
it may still be the wrong piece. A nullable field may be null, and "" stays possible unless the schema
forbids it by `minLength`: it is how a required field says that the row has nothing for it.

The pieces are one terminal of the grammar, a substring automaton that llguidance builds in time linear in
the row (5,000 words: under 20 ms), so there is no limit but the model's context. Around it the schema's
objects, lists, unions and references are written out as Lark rules. What they cannot say (maps, tuples,
intersections; `unrestricted()` names them) is left to llguidance: valid for the schema, not spans.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from llmx.providers.grammar import HEADER, ITEM_SEPARATOR, KEY_SEPARATOR, json_rule

__all__ = ["pieces", "span_grammar", "unrestricted"]

Schema = Mapping[str, Any]

# A word keeps what stands inside it (an e-mail address, a price, O'Neil) and loses what stands around it
# (a full stop, a bracket, a quote), so that a span may end before the punctuation.
_AROUND = r"\s,;:|<>()\[\]{}\"“”«»"
_PIECE = re.compile(rf"\s|\w[^{_AROUND}]*\w|.", re.DOTALL)

_BESIDE = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"}
    | {"$comment", "$schema", "$id", "$defs", "definitions", "discriminator"}
)
"""Keywords that say nothing about what is valid."""

_SAYABLE = (
    {"$ref"},
    {"anyOf"},
    {"oneOf"},
    {"type", "properties", "required", "additionalProperties"},
    {"type", "items", "minItems", "maxItems"},
    {"type", "minLength", "maxLength"},
)
"""The sets of keywords that can be written out as rules."""

# A character of a JSON string as `json.dumps` writes it, and one that is no blank: values have none at
# their ends. U+001E is neither: it stands between the row's columns, and no span reaches over it.
_ESCAPED = "u([1-9a-f][0-9a-f]{3}|0([1-9a-f][0-9a-f]{2}|0([02-9a-f][0-9a-f]|1[0-9a-df])))"
_CHARACTER = rf"(\\({_ESCAPED}|[^u])|[^\\])"
_EDGE = rf"(\\({_ESCAPED}|[\"\\])|[^\\\s])"
_TRIMMED = f"({_EDGE}({_CHARACTER}*{_EDGE})?)?"


def pieces(row: str) -> list[str]:
    """The words, blanks and punctuation marks of `row`, in order; joined they are `row` again."""
    return _PIECE.findall(row)


def span_grammar(schema: Schema, row: str) -> str:
    """The grammar of `schema` with its free-form strings restricted to spans of `row`.

    Args:
        schema: a JSON Schema with local references only.
        row: the text that strings are copied from.
    """
    rules = _Rules(schema)
    start = rules.expression(schema)
    chunks = [json.dumps(piece, ensure_ascii=False)[1:-1] for piece in pieces(row)]
    pieces_terminal = f"PIECES: %regex {json.dumps({'substring_chunks': chunks}, ensure_ascii=False)}"
    lines = [f"start: {start}", *rules.lines, *([pieces_terminal] if rules.copies else [])]
    return HEADER + "\n".join(lines)


def unrestricted(schema: Schema) -> list[str]:
    """The parts of `schema`, as JSON pointers, whose strings are not held to the row."""
    return list(dict.fromkeys(_unsayable(schema, "#")))


class _Rules:
    """The Lark rules of one schema.

    Args:
        root: the whole schema, in which references are looked up.
    """

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._names: dict[str, str] = {}
        self.lines: list[str] = []
        self.copies = False

    def expression(self, schema: Schema) -> str:
        """What accepts `schema`: a rule's name, or an expression in brackets."""
        if not _sayable(schema):
            return self._left_to_engine(schema)
        if "$ref" in schema:
            return self._referred(schema["$ref"])
        if options := schema.get("anyOf") or schema.get("oneOf"):
            return f"({' | '.join(self.expression(option) for option in options)})"
        if isinstance(schema["type"], list):
            return f"({' | '.join(self.expression({**schema, 'type': kind}) for kind in schema['type'])})"
        return self._typed(schema)

    def _typed(self, schema: Schema) -> str:
        match schema["type"]:
            case "object" if _is_record(schema):
                return self._object(schema)
            case "array" if isinstance(schema.get("items"), Mapping):
                return self._array(schema)
            case "string":
                return self._copied(schema)
            case _:
                return self._left_to_engine(schema)

    def _left_to_engine(self, schema: Schema) -> str:
        shared = {key: self._root[key] for key in ("$defs", "definitions") if key in self._root}
        return self._rule("json", json_rule({**shared, **schema}))

    def _referred(self, reference: str) -> str:
        if reference not in self._names:
            name = self._names[reference] = f"ref_{len(self._names)}"
            target = self.expression(_target(self._root, reference))
            self.lines.append(f"{name}: {target}")
        return self._names[reference]

    def _rule(self, kind: str, body: str) -> str:
        name = f"{kind}_{len(self.lines)}"
        self.lines.append(f"{name}: {body}")
        return name

    def _object(self, schema: Schema) -> str:
        """Members in the schema's order; what is not required may be left out, its comma with it."""
        required = schema.get("required", ())
        # `first` goes on where no member has been written yet, `rest` where the next one needs a comma.
        first = rest = self._rule("end", '""')
        for name, child in reversed(schema["properties"].items()):
            member = (
                f"{_literal(json.dumps(name, ensure_ascii=False) + KEY_SEPARATOR)} {self.expression(child)}"
            )
            skipped = ("", "") if name in required else (f" | {first}", f" | {rest}")
            after = rest
            first = self._rule("first", f"{member} {after}{skipped[0]}")
            rest = self._rule("rest", f"{_literal(ITEM_SEPARATOR)} {member} {after}{skipped[1]}")
        return self._rule("object", f'"{{" {first} "}}"')

    def _array(self, schema: Schema) -> str:
        item = self.expression(schema["items"])
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if most == 0:
            return self._rule("array", '"[]"')
        several = item
        if most != 1:
            bounds = f"{max(least - 1, 0)},{'' if most is None else most - 1}"
            several += f" ({_literal(ITEM_SEPARATOR)} {item}){{{bounds}}}"
        return self._rule("array", f'"[" {several} "]"' if least else f'"[" ({several})? "]"')

    def _copied(self, schema: Schema) -> str:
        self.copies = True
        value = f"PIECES & /{_TRIMMED}/"
        if "minLength" in schema or "maxLength" in schema:
            bounds = f"{{{schema.get('minLength', 0)},{schema.get('maxLength', '')}}}"
            value += f" & /{_CHARACTER}{bounds}/"
        name = f"COPIED_{len(self.lines)}"
        self.lines += [f"{name}: {value}", f'{name}_QUOTED: "\\"" {name} "\\""']
        return f"{name}_QUOTED"


def _sayable(schema: Any) -> bool:
    """Whether the rules can say exactly what this part of a schema says, its children aside."""
    if not isinstance(schema, Mapping):
        return False
    keywords = schema.keys() - _BESIDE
    if not any(keywords <= sayable for sayable in _SAYABLE):
        return False
    return bool(keywords & {"$ref", "anyOf", "oneOf", "type"})


def _is_record(schema: Schema) -> bool:
    """Whether an object's members are named, all that are required among them."""
    named = schema.get("properties", {}).keys()
    return bool(named) and named >= set(schema.get("required", ()))


def _unsayable(schema: Any, place: str) -> Iterator[str]:
    if not _sayable(schema):
        if _may_hold_text(schema):
            yield place
        return
    for keyword in ("anyOf", "oneOf"):
        for position, child in enumerate(schema.get(keyword, ())):
            yield from _unsayable(child, f"{place}/{keyword}/{position}")
    for keyword in ("properties", "$defs", "definitions"):
        for name, child in schema.get(keyword, {}).items():
            yield from _unsayable(child, f"{place}/{keyword}/{name}")
    kinds = schema.get("type", ())
    if "array" in kinds:
        yield from _unsayable(schema.get("items", True), f"{place}/items")
    if (
        "object" in kinds
        and not _is_record(schema)
        and _may_hold_text(schema.get("additionalProperties", True))
    ):
        yield place


def _may_hold_text(schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return schema is not False
    if schema.keys() & {"enum", "const", "format", "pattern"}:
        return False
    return not ({"integer", "number", "boolean", "null"} >= {*_kinds(schema)} and schema.get("type"))


def _kinds(schema: Schema) -> list[str]:
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)


def _target(root: Schema, reference: str) -> Schema:
    """What a JSON pointer such as "#/$defs/Address" refers to (RFC 6901)."""
    found: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        found = found[step.replace("~1", "/").replace("~0", "~")]
    assert isinstance(found, Mapping)
    return found


def _literal(text: str) -> str:
    """A Lark string that stands for `text`."""
    return json.dumps(text, ensure_ascii=False)
