"""Templates of prompts: jinja2's immutable sandbox with strict undefined, rendered once; rows are only ever values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmx.errors import UnreadableRow, UsageError
from llmx.text import nearest

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["ROW", "compiled", "rendered", "require_column"]

ROW = "row"
"""What a template calls the columns that are shown, for names that are no names to jinja2: `row["due date"]`."""


def compiled(source: str, there: Sequence[str], shown: Sequence[str]) -> tuple[Template, list[str]]:
    """The template, and the columns it uses: by their names, or as `row["name"]`.

    Args:
        there: the columns that have names of their own in the template; empty when the input has no rows.
        shown: those that `row` holds.

    Raises:
        UsageError: the template is wrong, or uses a column that is not there.
    """
    from jinja2 import StrictUndefined, meta
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # Prompts are plain text for a model, not HTML: escaping would alter the data.
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    for name in there:
        environment.globals.pop(name, None)  # a column called range is no function
    tree, template = _parsed(environment, source)
    used = meta.find_undeclared_variables(tree)
    names = used if ROW in there else used - {ROW}
    for name in sorted(names):
        require_column(name, there, "--prompt")
    if ROW in used - names:
        names |= _columns_of_row(tree, shown)
    return template, sorted(names)


def _parsed(environment: Any, source: str) -> tuple[Any, Template]:
    from jinja2 import TemplateSyntaxError, meta

    if not source.strip():
        raise UsageError(
            "--prompt: the template is empty", hint="leave --prompt out to send the columns as JSON"
        )
    try:
        tree, template = environment.parse(source), environment.from_string(source)
    except TemplateSyntaxError as error:
        raise UsageError(f"--prompt line {error.lineno}: {error.message}") from error
    except RecursionError as error:
        raise UsageError("--prompt: the template is nested too deeply") from error
    if any(True for _ in meta.find_referenced_templates(tree)):
        raise UsageError("--prompt: a template cannot include or import others")
    return tree, template


def _columns_of_row(tree: Any, shown: Sequence[str]) -> set[str]:
    """The columns that a template takes from `row`: those it names, or all that are shown."""
    from jinja2 import nodes

    parts = [node for node in tree.find_all((nodes.Getitem, nodes.Getattr)) if _is_row(node.node)]
    asked = [node.attr if isinstance(node, nodes.Getattr) else _constant(node.arg) for node in parts]
    named = {name for name in asked if name is not None}
    if None in asked or len(asked) < sum(map(_is_row, tree.find_all(nodes.Name))):
        return set(shown)  # which ones it takes is not to be seen here
    for name in sorted(named):
        require_column(name, shown, "--prompt")
    return named


def _constant(node: Any) -> str | None:
    value = getattr(node, "value", None)
    return value if isinstance(value, str) else None


def _is_row(node: Any) -> bool:
    return getattr(node, "name", None) == ROW


def rendered(template: Template, data: Mapping[str, Any]) -> str:
    """The text for one row. Raises UnreadableRow: the template fails on it."""
    try:
        return template.render(data)
    except Exception as error:
        # jinja2 lets through whatever a value's own operators raise (a number where text was expected).
        raise UnreadableRow(f"the prompt template failed on this row: {error}") from error


def require_column(name: str, columns: Sequence[str], option: str) -> None:
    """Raise UsageError for a column that is not among those there are."""
    if name in columns or not columns:  # no columns: no rows, which is no fault of the option
        return
    close = nearest(name, columns)
    hint = f"did you mean {close!r}?" if close else ""
    raise UsageError(f"{option}: no column {name!r}; there are {', '.join(columns)}", hint=hint)
