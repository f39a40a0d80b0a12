"""Proposing a schema file from rows: what was seen, what is decided of it, how it is written."""

from __future__ import annotations

from llmx.schemas.inference.decide import Note
from llmx.schemas.inference.infer import Inferred, infer

__all__ = ["Inferred", "Note", "infer"]
