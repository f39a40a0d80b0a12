"""What a shell may complete, out of a table beside this file: to ask typer takes longer than a key press may.

The table is made from the commands themselves by `docs/generate.py`; a test compares the two. The scripts that call
this are typer's own (`llmx --install-completion`), and what they read is in typer's form.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["TABLE", "VARIABLE", "answered", "candidates"]

VARIABLE = "_LLMX_COMPLETE"
TABLE = Path(__file__).with_name("completions.json")

Candidate = tuple[str, str]
"""A word, and what it means; "" where nobody says."""


def answered(variables: Mapping[str, str]) -> str | None:
    """What to print, None where the variables ask for something that typer is to answer. May exit, as fish asks it to."""
    shell = variables.get(VARIABLE, "").partition("complete_")[2]
    if shell not in _FORMS:
        return None
    words, incomplete = _typed(shell, variables)
    found = candidates(json.loads(TABLE.read_text(encoding="utf-8")), words, incomplete)
    if shell == "fish" and variables.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args":
        sys.exit(0 if found else 1)  # whether there is more to offer than files
    return _FORMS[shell](found)


def _typed(shell: str, variables: Mapping[str, str]) -> tuple[list[str], str]:
    """The whole words after the program's name, and the one that is being typed."""
    if shell == "bash":
        words, number = _split(variables.get("COMP_WORDS", "")), variables.get("COMP_CWORD", "")
        at = int(number) if number.isdecimal() else len(words)
        return words[1:at], words[at] if at < len(words) else ""
    line = variables.get("_TYPER_COMPLETE_ARGS", "")
    words = _split(line)[1:]
    return (words[:-1], words[-1]) if words and not line.endswith(" ") else (words, "")


def _split(line: str) -> list[str]:
    """Its words; a quote that is still open holds the last one."""
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        words.extend(lexer)
    except ValueError:
        words.append(lexer.token or "")
    return words


def candidates(table: Mapping[str, Any], words: Sequence[str], incomplete: str) -> list[Candidate]:
    """What the word that is being typed may become.

    Args:
        table: of the program: "commands" by name, "options" by name with their help, "values" of those that take one
            (the few there are, none where anything goes), "help".
    """
    option = ""
    for word in words:
        if option:
            option = ""
        elif word in table["values"]:
            option = word
        else:
            table = table["commands"].get(word, table)
    if "=" in incomplete and incomplete.startswith("--"):
        option, _, incomplete = incomplete.partition("=")
    if option:
        offered = [(value, "") for value in table["values"].get(option, ())]
    elif incomplete.startswith("-"):
        offered = list(table["options"].items())
    else:
        offered = [(name, command["help"]) for name, command in table["commands"].items()]
    return [(name, text) for name, text in offered if name.startswith(incomplete)]


def _for_bash(found: Sequence[Candidate]) -> str:
    return "\n".join(name for name, _ in found)


def _for_zsh(found: Sequence[Candidate]) -> str:
    if not found:
        return "_files"
    shown = [f'"{_quoted(name)}":"{_quoted(text)}"' if text else f'"{_quoted(name)}"' for name, text in found]
    return "_arguments '*: :((" + "\n".join(shown) + "))'"


def _quoted(text: str) -> str:
    """A text within zsh's quotes within quotes."""
    for mark, written in {'"': '""', "'": "''", "$": "\\$", "`": "\\`", ":": r"\\:"}.items():
        text = text.replace(mark, written)
    return text


def _for_fish(found: Sequence[Candidate]) -> str:
    return "\n".join(f"{name}\t{' '.join(text.split())}" if text else name for name, text in found)


_FORMS = {"bash": _for_bash, "zsh": _for_zsh, "fish": _for_fish}
