"""What an operator offers: schemas by name, and models. Requests choose among them, or bring a schema that is only data.

A schema of a request is a JSON Schema, an inline spec or a name. It never makes anybody look at a disk or import a
module: what `--schema` would take for a path or a module is refused by its looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson
from msgspec import Struct

from llmx.errors import UsageError
from llmx.providers import CATALOG, parse_model
from llmx.schemas import Schema, load_schema, parse_inline, ready_made, schema_of
from llmx.schemas.ready import summary
from llmx.serve.keys import Key
from llmx.serve.problems import Problem
from llmx.settings import EndpointTable
from llmx.text import nearest
from llmx.types import Usage

__all__ = ["ModelOnOffer", "Offers", "SchemaOnOffer", "load_schemas_on_offer", "models_on_offer"]

LARGEST_SCHEMA = 100_000
"""Bytes of a JSON Schema; OpenAI takes 120,000 characters of names and choices."""

MOST_NODES = 5_000
"""Objects in a JSON Schema."""

MOST_UNFOLDED = 100_000
"""Objects in a JSON Schema that has every definition written out where it is referred to: models are made of no less."""

_PATH = re.compile(r"[/\\]|\.py(:[^\W\d][\w.]*)?:?$|\.json$", re.IGNORECASE)
_MODULE = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")
_INLINE = re.compile(r"[\s,:?|\[\]]")


class SchemaOnOffer(Struct, frozen=True):
    """A schema that has a name here.

    Args:
        spec: what `--schema` would be given for it.
    """

    name: str
    description: str
    spec: str
    schema: Schema


class ModelOnOffer(Struct, frozen=True):
    """A model that may be asked.

    Args:
        input_price, output_price: US dollars per million tokens; None when not known.
    """

    name: str
    input_price: Decimal | None
    output_price: Decimal | None


def load_schemas_on_offer(specs: Mapping[str, str], cwd: Path) -> dict[str, SchemaOnOffer]:
    """Those of the operator, and the ready-made ones whose names they leave free.

    Raises:
        UsageError: one cannot be used; names it.
    """
    offered = {}
    for name, spec in specs.items():
        try:
            schema = load_schema(spec, cwd=cwd)
        except UsageError as error:
            raise UsageError(f"[serve.schemas] {name}: {error}", hint=error.hint) from error
        offered[name] = SchemaOnOffer(name, (schema.description or "").partition("\n")[0], spec, schema)
    for name, path in ready_made().items():
        if name not in offered:
            offered[name] = SchemaOnOffer(name, summary(path), name, load_schema(name, cwd=cwd))
    return offered


class Offers:
    """What there is to choose from.

    Args:
        models: in the operator's order, the default first.
        schemas: by name.
    """

    def __init__(self, models: Sequence[ModelOnOffer], schemas: Mapping[str, SchemaOnOffer]) -> None:
        self.models = models
        self.schemas = schemas

    def allowed(self, key: Key) -> list[ModelOnOffer]:
        """The models that a key may use."""
        return [model for model in self.models if not key.models or model.name in key.models]

    def default(self, key: Key) -> str | None:
        """The model of a request that names none; None where the key may use none."""
        return next((model.name for model in self.allowed(key)), None)

    def model(self, name: str | None, key: Key) -> str:
        """The model that is meant. Raises Problem: there is none of that name, or the key may not use it."""
        allowed = [model.name for model in self.allowed(key)]
        if name is None and allowed:
            return allowed[0]
        if name in allowed:
            return name
        if name is None or name in [model.name for model in self.models]:
            raise Problem(403, "model_not_allowed", "this key may not use the model", hint=_one_of(allowed))
        close = nearest(name, allowed)
        hint = f"did you mean {close!r}?" if close else _one_of(allowed)
        raise Problem(422, "unknown_model", f"no model {name[:100]!r} is on offer", hint=hint)

    def schema(self, given: str | Mapping[str, Any]) -> Schema:
        """The schema that is meant; of what a request brings, made anew. May take a while.

        Raises:
            Problem: there is none of that name, or it cannot be used.
        """
        try:
            if not isinstance(given, str):
                _check_size(given)
                return schema_of(given)
            if (offered := self.schemas.get(given.strip())) is not None:
                return offered.schema
            self._check_inline(given.strip())
            return parse_inline(given.strip())
        except UsageError as error:
            raise Problem(
                422, "invalid_schema", f"the schema cannot be used: {error}", hint=error.hint
            ) from None
        except RecursionError:
            raise Problem(422, "invalid_schema", "the schema is nested too deeply") from None

    def _check_inline(self, spec: str) -> None:
        """Refuse what is no spec of fields, by its looks alone."""
        if _PATH.search(spec):
            raise Problem(
                422,
                "schema_is_a_path",
                "a schema that is named by a path is not taken",
                hint="send the JSON Schema itself, or have it put on offer under [serve.schemas]",
            )
        if _MODULE.fullmatch(spec):
            raise Problem(
                422,
                "schema_is_a_module",
                "a module is not taken",
                hint="write a blank after the colon of a field",
            )
        if not _INLINE.search(spec):
            close = nearest(spec, self.schemas)
            hint = (
                f"did you mean {close!r}?"
                if close
                else f"GET /v1/schemas lists them; one field is '{spec[:40]} str'"
            )
            raise Problem(422, "unknown_schema", f"no schema {spec[:100]!r} is on offer", hint=hint)


def _check_size(document: Mapping[str, Any]) -> None:
    try:
        size = len(orjson.dumps(document))
    except TypeError:
        raise Problem(
            422, "invalid_schema", "the schema is nested too deeply, or has a number beyond 64 bits"
        ) from None
    if size > LARGEST_SCHEMA:
        raise Problem(
            422, "schema_too_large", f"the schema has {size:,} bytes; at most {LARGEST_SCHEMA:,} are taken"
        )
    if sum(1 for _ in _nodes(document)) > MOST_NODES:
        raise Problem(422, "schema_too_large", f"the schema has more than {MOST_NODES:,} objects")
    if _unfolded(document) > MOST_UNFOLDED:
        problem = f"the schema has more than {MOST_UNFOLDED:,} objects, with its definitions wherever they are referred to"
        raise Problem(422, "schema_too_large", problem)


def _unfolded(document: Mapping[str, Any]) -> int:
    """How many objects there are with every reference written out, but for those within themselves."""
    known: dict[str, int] = {}

    def size(node: Any) -> int:
        if isinstance(node, list):
            return sum(size(child) for child in node)
        if not isinstance(node, dict):
            return 0
        ref, parts = node.get("$ref"), (child for name, child in node.items() if name not in _APART)
        if not isinstance(ref, str):
            return 1 + sum(size(part) for part in parts)
        if ref not in known:
            known[ref] = 0
            known[ref] = size(_target(document, ref))
        return known[ref] + sum(size(part) for part in parts)

    return size(document)


_APART = ("$defs", "definitions")


def _target(document: Any, ref: str) -> Any:
    """What a JSON pointer leads to, None for nothing."""
    for token in unquote(ref.partition("#")[2]).split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list):
            document = document[int(name)] if name.isdecimal() and int(name) < len(document) else None
        else:
            document = document.get(name) if isinstance(document, dict) else None
    return document


def _nodes(document: Any) -> Iterator[Any]:
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _one_of(names: Sequence[str]) -> str:
    return f"one of {', '.join(names)}" if names else "GET /v1/models lists them"


def models_on_offer(
    names: Sequence[str], endpoints: Mapping[str, EndpointTable], base_url: str | None
) -> list[ModelOnOffer]:
    """The operator's models with their prices, as far as these are known.

    Args:
        base_url: the server of models that have no address of their own, None for their provider's.
    """
    return [_on_offer(name, endpoints.get(name) or EndpointTable(model=name), base_url) for name in names]


def _on_offer(name: str, table: EndpointTable, base_url: str | None) -> ModelOnOffer:
    if table.input_price is not None:
        return ModelOnOffer(name, table.input_price, table.output_price)
    from llmx.pricing import price

    model = parse_model(table.model)
    listed, address = CATALOG[model.provider].prices, table.base_url or base_url
    million = 10**6
    prices = [price(model.name, listed, address, usage) for usage in (Usage(million, 0), Usage(0, million))]
    return ModelOnOffer(name, prices[0], prices[1])
