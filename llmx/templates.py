"""Templates of prompts: jinja2's immutable sandbox with strict undefined, rendered once; rows are only ever values.

What the sandbox is, and what a template may make of a row's numbers, is in `sandbox`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmx.errors import UnreadableRow, UsageError
from llmx.text import nearest

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["ROW", "compiled", "rendered", "require_column"]

ROW = "row"
"""What a template calls the columns that are shown, for names that are no names to jinja2: `row["due date"]`."""

LONGEST = 64 * 2**20
"""Characters that a template may make of one row: as many as the longest row has bytes."""


def compiled(source: str, there: Sequence[str], shown: Sequence[str]) -> tuple[Template, list[str], bool]:
    """The template, the columns it uses, and whether it uses `row` as a whole, which is what is shown.

    Args:
        there: the columns that have names of their own in the template; empty when the input has no rows.
        shown: those that `row` as a whole holds; by `row["name"]` all are to be had.

    Raises:
        UsageError: the template is wrong, or uses no column, or one that is not there.
    """
    from jinja2 import meta

    from llmx.sandbox import Sandbox

    environment = Sandbox()
    for name in there:
        environment.globals.pop(name, None)  # a column called range is no function
    tree, template = _parsed(environment, source, there)
    used = meta.find_undeclared_variables(tree)
    by_row = _columns_of_row(tree, there) if ROW in used and ROW not in there else set()
    named = (used if ROW in there else used - {ROW}) | (by_row or set())
    for name in sorted(named):
        _require_used(name, source, there)
    names = named | set(shown) if by_row is None else named
    if there and not names:
        raise UsageError("--prompt: the template shows no column of the row", hint=f"{{{{ {there[0]} }}}}")
    return template, sorted(names), by_row is None


def _require_used(name: str, source: str, there: Sequence[str]) -> None:
    try:
        require_column(name, there, "--prompt")
    except UsageError as error:
        raise UsageError(str(error), hint=_spelling(source, there) or error.hint) from None


def _spelling(source: str, there: Sequence[str]) -> str:
    """How a column in the source is written whose name is none to jinja2; "" where there is none."""
    odd = (name for name in there if not name.isidentifier() and name in source)
    return next((f'write {{{{ row["{name}"] }}}}' for name in odd), "")


def _parsed(environment: Any, source: str, there: Sequence[str]) -> tuple[Any, Template]:
    from jinja2 import TemplateSyntaxError, meta

    if not source.strip():
        raise UsageError(
            "--prompt: the template is empty", hint="leave --prompt out to send the columns as JSON"
        )
    try:
        tree, template = environment.parse(source), environment.from_string(source)
    except TemplateSyntaxError as error:
        raise UsageError(
            f"--prompt line {error.lineno}: {error.message}", hint=_spelling(source, there)
        ) from error
    except (RecursionError, SyntaxError) as error:  # Python's own: more than 20 blocks in each other
        raise UsageError("--prompt: the template is nested too deeply") from error
    if any(True for _ in meta.find_referenced_templates(tree)):
        raise UsageError("--prompt: a template cannot include or import others")
    return tree, template


def _columns_of_row(tree: Any, there: Sequence[str]) -> set[str] | None:
    """The columns that a template takes from `row` by name; None where it is not to be seen which they are."""
    from jinja2 import nodes

    called = [id(node.node) for node in tree.find_all(nodes.Call)]
    asked: list[str | None] = []
    for node in tree.find_all((nodes.Getitem, nodes.Getattr)):
        if not _is_row(node.node):
            continue
        if isinstance(node, nodes.Getattr) and hasattr(dict, node.attr):
            if id(node) not in called:  # jinja2 would show the method
                raise UsageError(
                    f"--prompt: row.{node.attr} is no column", hint=f'write {{{{ row["{node.attr}"] }}}}'
                )
            return None
        asked.append(node.attr if isinstance(node, nodes.Getattr) else _constant(node.arg))
    if None in asked or len(asked) < sum(map(_is_row, tree.find_all(nodes.Name))):
        return None
    return {name for name in asked if name is not None}


def _constant(node: Any) -> str | None:
    value = getattr(node, "value", None)
    return value if isinstance(value, str) else None


def _is_row(node: Any) -> bool:
    return getattr(node, "name", None) == ROW


def rendered(template: Template, data: Mapping[str, Any]) -> str:
    """The text for one row. Raises UnreadableRow: the template fails on it."""
    try:
        return "".join(_bounded(template.generate(data)))
    except Exception as error:
        # jinja2 lets through whatever a value's own operators raise (a number where text was expected).
        raise UnreadableRow(f"the prompt template failed on this row: {error}") from error


def _bounded(chunks: Iterator[str]) -> Iterator[str]:
    """The chunks as long as they are no more than one row may be: loops in loops can write for ever."""
    length = 0
    for chunk in chunks:
        length += len(chunk)
        if length > LONGEST:
            raise ValueError(f"it writes more than {LONGEST:,} characters")
        yield chunk


def require_column(name: str, columns: Sequence[str], option: str) -> None:
    """Raise UsageError for a column that is not among those there are."""
    if name in columns or not columns:  # no columns: no rows, which is no fault of the option
        return
    close = nearest(name, columns)
    hint = f"did you mean {close!r}?" if close else ""
    raise UsageError(f"{option}: no column {name!r}; there are {', '.join(columns)}", hint=hint)
