"""Write docs/cli.md, the rules in docs/schemas.md, and what shells may complete, from the code itself.

python docs/generate.py [--check]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from llmx.cli.app import build_app
from llmx.cli.complete import TABLE
from llmx.schemas.advice import RULES, Rule

TARGET = Path(__file__).with_name("cli.md")
SCHEMAS = Path(__file__).with_name("schemas.md")
BEGIN, END = "<!-- rules: begin -->\n", "<!-- rules: end -->\n"

HEADER = """\
# Command line

Made from the commands' own help by `python docs/generate.py`; a test compares the two.

Rows go to standard output (or `-o`), everything else to standard error. Every option of `llmx extract` can
also be given as the environment variable in its row, or as a key of `llmx.toml` or `[tool.llmx]` in
`pyproject.toml` (the long name without dashes in front; but for `--budget`, as `budget` holds the budgets' own
tables), of the current folder or the nearest one above. A flag wins over a variable, a variable over the project's
file, that over the user's (`llmx/config.toml` in the user's config folder). Relative paths in a file are relative to
it. Names of columns are apart by commas; one that holds a comma is quoted, as in `--keep '"last, first",id'`. Exit
codes are in [errors.md](errors.md).
"""


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command with its full name, depth first."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, f"{path} {name}")


def section(path: str, command: Any) -> str:
    """One command: its description, usage, arguments and options."""
    context = typer.Context(command, info_name=path)
    usage = command.get_usage(context).removeprefix("Usage: ")
    lines = [f"## `{path}`", "", " ".join((command.help or "").split()), "", f"    {usage}", ""]
    rows = [row(param) for param in command.params if param.name != "help"]
    if rows:
        lines += ["| | variable | |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def row(param: Any) -> str:
    """One argument or option as a table row."""
    names = ", ".join(f"`{name}`" for name in [*param.opts, *param.secondary_opts])
    if param.param_type_name == "argument":
        names = f"`{param.metavar or param.name.upper()}`".replace("|", "\\|")
    elif param.metavar and not param.is_flag:
        names += f" {param.metavar}".replace("|", "\\|")
    variable = f"`{param.envvar}`" if param.envvar else ""
    return f"| {names} | {variable} | {words(param).replace('|', chr(92) + '|')} |"


def words(param: Any) -> str:
    """The help text, with the default where the text does not say it itself."""
    default = param.default
    if isinstance(default, bool) or not isinstance(default, int | float | str):
        return param.help or ""
    return f"{param.help} [{default:g}]" if isinstance(default, float) else f"{param.help} [{default}]"


def document() -> str:
    """The whole page."""
    app = typer.main.get_command(build_app())
    return "\n".join([HEADER, *(section(path, command) for path, command in commands(app, "llmx"))])


def completions(command: Any) -> dict[str, Any]:
    """What the words of a command may be, see `llmx.cli.complete.candidates`."""
    options = [param for param in command.params if param.param_type_name == "option"]
    return {
        "help": command.get_short_help_str(200),
        "options": {
            name: param.help or "" for param in options for name in [*param.opts, *param.secondary_opts]
        },
        "values": {
            name: values(param, command) for param in options if not param.is_flag for name in param.opts
        },
        "commands": {name: completions(child) for name, child in getattr(command, "commands", {}).items()},
    }


def values(param: Any, command: Any) -> list[str]:
    """Those that an option offers; none where anything goes."""
    offered = param.shell_complete(typer.Context(command), "")
    return [item.value for item in offered if item.type == "plain"]


def rule_row(rule: Rule) -> str:
    """One rule as a table row."""
    sources = "; ".join(f"[{one.title}]({one.url}), {one.year}" for one in rule.evidence)
    grounds = f"**{rule.strength}**: {rule.why}{'. ' if sources else ''}{sources}"
    cells = [f"`{rule.code}` {rule.name}", rule.severity, rule.summary, rule.fix, grounds]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def rules_page(page: str) -> str:
    """The page about schemas with its table of rules made anew."""
    before, _, rest = page.partition(BEGIN)
    head = ["| Rule | | What is found | What to do | Why |", "|---|---|---|---|---|"]
    table = "\n".join([*head, *map(rule_row, RULES)])
    return f"{before}{BEGIN}\n{table}\n\n{END}{rest.partition(END)[2]}"


def pages() -> dict[Path, str]:
    """All that is made, by where it stands."""
    table = completions(typer.main.get_command(build_app()))
    schemas = rules_page(SCHEMAS.read_text(encoding="utf-8"))
    return {
        TARGET: document(),
        SCHEMAS: schemas,
        TABLE: json.dumps(table, ensure_ascii=False, indent=1) + "\n",
    }


def main() -> int:
    """Write the pages, or with --check say whether they are as written; returns an exit code."""
    made = pages()
    if "--check" in sys.argv:
        return 0 if all(path.read_text(encoding="utf-8") == text for path, text in made.items()) else 1
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
