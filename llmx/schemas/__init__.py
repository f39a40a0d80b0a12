"""Schemas: loading them from whatever the user has, and what each provider is sent of them.

Everything here happens before the first call. It does not build requests: a provider's adapter asks
for the wire form of a schema and puts it where its API wants it.
"""

from __future__ import annotations

from llmx.schemas.dialects import Dialect, Finding, WireSchema
from llmx.schemas.inline import parse_inline
from llmx.schemas.lint import lint
from llmx.schemas.load import is_inline, load_schema, load_schemas, schema_of
from llmx.schemas.ready import ready_made
from llmx.schemas.schema import Schema
from llmx.schemas.wire import DIALECTS, supports, wire_schema
from llmx.schemas.written import list_fields, written_fields

__all__ = [
    "DIALECTS",
    "Dialect",
    "Finding",
    "Schema",
    "WireSchema",
    "is_inline",
    "lint",
    "list_fields",
    "load_schema",
    "load_schemas",
    "parse_inline",
    "ready_made",
    "schema_of",
    "supports",
    "wire_schema",
    "written_fields",
]
