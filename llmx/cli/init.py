"""`llmx init`: a project to start from: a config file, a schema of one's own, a few rows."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from llmx.environment import Environment

__all__ = ["init"]

CONFIG = """\
# Options of `llmx extract`, without their dashes. Flags and LLMX_* variables win over these.
# model = "openai/gpt-5-mini"
schema = "schema.py:Ticket"
# concurrency = 32
# rpm = 500
# max-failures = "1%"
"""

SCHEMA = '''\
"""What to extract from each row. Docstrings and descriptions are what the model reads."""

from typing import Literal

from pydantic import BaseModel, Field


class Ticket(BaseModel):
    """A customer's message to support."""

    topic: Literal["billing", "delivery", "product", "other"] = Field(description="what it is mostly about")
    urgent: bool = Field(description="whether the customer cannot wait for a day")
    order_id: str | None = Field(default=None, description="as written, null when none is named")
'''

ROWS = """\
{"id": 1, "text": "My order A-1042 has not arrived and I need it tomorrow!"}
{"id": 2, "text": "How do I change the address on my invoices?"}
{"id": 3, "text": "Love the new lamp, thank you."}
"""

FILES = {"llmx.toml": CONFIG, "schema.py": SCHEMA, "rows.jsonl": ROWS}


def init(
    context: typer.Context,
    folder: Annotated[str, typer.Argument(help="Where; created if need be.")] = ".",
) -> None:
    """Write a config file, a schema and sample rows to start from; existing files are left alone."""
    from llmx.errors import OutputFailed, UsageError

    env: Environment = context.obj
    target = env.cwd / folder
    if target.exists() and not target.is_dir():
        raise UsageError(f"{folder!r} is a file", hint="llmx init FOLDER")
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, text in FILES.items():
            path = target / name
            if path.exists():
                typer.echo(f"{name} is there already and was left alone", err=True)
                continue
            path.write_text(text, encoding="utf-8")
            typer.echo(f"{name} written", err=True)
    except OSError as error:
        raise OutputFailed(f"cannot write to {folder!r}: {error.strerror}") from error
    there = "" if target.samefile(env.cwd) else f"cd {shlex.quote(folder)} && "
    typer.echo(f"next: {there}llmx extract rows.jsonl -m local", err=True)
