"""`llmx models`: what can be put after `-m`, with prices, as far as they are known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct
from msgspec.structs import asdict

from llmx.cli.tables import aligned
from llmx.environment import Environment
from llmx.errors import OutputFailed, UsageError

if TYPE_CHECKING:
    from llmx.providers import CatalogEntry

__all__ = ["models"]

# Other names for what `google` lists, each with an SDK that Google has given up.
_SAME_LIST = frozenset({"gemini", "generative-ai", "vertexai"})


HEAD = ["model", "context", "$/M in", "$/M out", ""]


class _Line(Struct, frozen=True):
    """One model.

    Args:
        model: what to write after `-m`.
        context: tokens; None when not known.
        input, output: US dollars per million tokens.
        key: whether its provider's key is set, or none is needed.
    """

    model: str
    context: int | None
    input: float
    output: float
    key: bool

    def cells(self) -> list[str]:
        context = f"{self.context}" if self.context else ""
        return [self.model, context, f"{self.input:g}", f"{self.output:g}", "key" if self.key else ""]


def models(
    context: typer.Context,
    filter_: Annotated[
        str | None, typer.Argument(metavar="FILTER", help="A provider, or any part of PROVIDER/MODEL.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """List models with a known price: context tokens, dollars per million tokens in and out, key set or not."""
    import orjson

    env: Environment = context.obj
    if env.stdout.closed:
        raise OutputFailed("cannot write 'stdout': it is closed")
    lines = _matching(list(_lines(env, filter_)), filter_)
    if as_json:
        rows = [orjson.dumps(asdict(line)).decode() for line in lines]
    elif env.stdout.isatty():
        rows = aligned(HEAD, [line.cells() for line in lines], right=(1, 2, 3))
    else:
        rows = ["\t".join(line.cells()) for line in lines]
    env.stdout.write("".join(f"{row}\n" for row in rows).encode())
    env.stdout.flush()


def _lines(env: Environment, filter_: str | None) -> Iterator[_Line]:
    """All models, those of providers whose key is set first."""
    from llmx.providers import CATALOG, has_key

    listed = [entry for entry in CATALOG.values() if entry.name not in _SAME_LIST or entry.name == filter_]
    for entry in sorted(listed, key=lambda entry: not has_key(entry, env.variables)):
        yield from _of(entry, has_key(entry, env.variables))


def _of(entry: CatalogEntry, ready: bool) -> Iterator[_Line]:
    from llmx.pricing import known_models

    if entry.wire == "local":
        yield _Line("local", None, 0.0, 0.0, True)
    for model in known_models(entry.prices):
        assert model.input_price is not None
        assert model.output_price is not None
        prices = float(model.input_price), float(model.output_price)
        yield _Line(f"{entry.name}/{model.name}", model.context, *prices, ready)


def _matching(lines: list[_Line], filter_: str | None) -> list[_Line]:
    from llmx.providers import CATALOG
    from llmx.text import nearest

    if filter_ is None:
        return lines
    if filter_ in CATALOG:
        found = [line for line in lines if line.model.partition("/")[0] == filter_]
    else:
        found = [line for line in lines if filter_.lower() in line.model.lower()]
    if not found:
        close = nearest(filter_, [*CATALOG, *(line.model for line in lines)])
        hint = (
            f"llmx models {close}"
            if close
            else "`llmx models` lists all; a model without a known price works too"
        )
        raise UsageError(f"no model with a known price matches {filter_!r}", hint=hint)
    return found
