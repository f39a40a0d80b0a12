"""JSON Schema files: read, found valid, and made into a schema. Nothing is fetched for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema.exceptions import SchemaError

from llmx.errors import UsageError
from llmx.schemas.json_check import JsonCheck, pattern_problem
from llmx.schemas.json_model import model_from_json_schema
from llmx.schemas.json_normal import normalised
from llmx.schemas.keywords import Node, children, definitions
from llmx.schemas.schema import Schema, schema_from_model

__all__ = ["read_json_schema", "schema_from_json"]

_OLD = ("Draft3Validator", "Draft4Validator")
_DEEPEST = 100
_REF_ALONE = ("Draft6Validator", "Draft7Validator")


def read_json_schema(path: Path, source: str) -> Node:
    """The object in a JSON file.

    Raises:
        UsageError: it cannot be read, is not JSON, or not an object; says at which line and column.
    """
    try:
        document = json.loads(path.read_text("utf-8-sig"))
    except json.JSONDecodeError as error:
        problem = error.msg[:1].lower() + error.msg[1:]
        raise UsageError(f"{source}:{error.lineno}:{error.colno}: not JSON: {problem}") from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{source} cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise UsageError(
            f"{source} is not a JSON Schema: its root is not an object",
            hint='a schema looks like {"type": "object", "properties": {"name": {"type": "string"}}}',
        )
    return document


def schema_from_json(document: Node, *, source: str) -> Schema:
    """The schema that a JSON Schema describes.

    Args:
        document: draft 6, 7, 2019-09 or 2020-12 (the default), as its `$schema` says.
        source: begins error messages; a file's stem names a schema without a title.

    Raises:
        UsageError: it is not a valid JSON Schema, refers to other files, is nested beyond 100 levels of JSON,
            has a pattern that the Rust engine cannot run or an enum without a choice, or is not the schema of
            an object with named properties.
    """
    _check_depth(document, source)
    validator = _validator(document, source)
    title = str(document.get("title") or Path(source).stem)
    _check_pattern_properties(document, source)
    schema = normalised(document, source=source, title=title, old_refs=validator.__name__ in _REF_ALONE)
    _check_nodes(schema, source)
    model = model_from_json_schema(schema, title, JsonCheck(document, validator))
    return schema_from_model(model, source=source, name=title, description=schema.get("description"))


def _validator(document: Node, source: str) -> type[Any]:
    declared = document.get("$schema")
    # An unknown $schema falls back to the default: to one that is then refused.
    default = jsonschema.Draft3Validator if declared else jsonschema.Draft202012Validator
    known = document if isinstance(declared, str) else {}
    validator: type[Any] = jsonschema.validators.validator_for(known, default=default)
    if validator.__name__ in _OLD:
        raise UsageError(
            f"{source}: the $schema {declared!r} is not supported",
            hint="drafts 6, 7, 2019-09 and 2020-12 are: https://json-schema.org/draft/2020-12/schema",
        )
    try:
        validator.check_schema(document)
    except SchemaError as error:
        where = "/".join(str(step) for step in error.absolute_path) or "root"
        raise UsageError(f"{source}: not a valid JSON Schema at {where}: {error.message}") from None
    return validator


def _check_depth(document: Node, source: str) -> None:
    """Refuse what no provider takes, before it overruns the stack of what walks it."""
    level: list[Any] = [document]
    for _ in range(_DEEPEST):
        inside = (node.values() if isinstance(node, dict) else node for node in level)
        level = [child for nodes in inside for child in nodes if isinstance(child, dict | list)]
        if not level:
            return
    raise UsageError(f"{source}: nested deeper than {_DEEPEST} levels of JSON", hint="use $ref and $defs")


def _check_nodes(schema: Node, source: str) -> None:
    nodes = [schema, *definitions(schema).values()]
    while nodes:
        node = nodes.pop()
        if not isinstance(node, dict):
            continue
        if node.get("enum") == []:
            raise UsageError(f"{source}: an enum has no choice")
        own = [node["pattern"]] if "pattern" in node else []
        for pattern in [*own, *node.get("patternProperties", {})]:
            if problem := pattern_problem(pattern):
                raise UsageError(
                    f"{source}: the pattern {pattern!r} cannot be run: {problem}",
                    hint="patterns run on Rust's regex engine, which has no look-around and no backreferences",
                )
        nodes.extend(child for _, child in children(node))


def _check_pattern_properties(document: Node, source: str) -> None:
    # What is evaluated in other branches, or behind a $ref, counts for `unevaluatedProperties`: jsonschema looks
    # there by Python's engine, which can be made to backtrack for ever. So wherever in the file they stand.
    found: set[str] = set()
    waiting: list[Any] = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            found |= node.keys() & {"unevaluatedProperties", "patternProperties"}
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    if len(found) == 2:
        raise UsageError(
            f"{source}: 'unevaluatedProperties' beside 'patternProperties' is not supported",
            hint="use additionalProperties",
        )
