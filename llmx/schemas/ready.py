"""Where the ready-made schemas are: one Pydantic file each, usable by the file's name."""

from __future__ import annotations

from pathlib import Path

__all__ = ["ready_made", "summary"]


def ready_made() -> dict[str, Path]:
    """The file of each ready-made schema by its name, sorted.

    They are in `llmx/_ready` of an installed wheel, in `schemas/` of a source checkout.
    """
    package = Path(__file__).parent.parent
    for folder in (package / "_ready", package.parent / "schemas"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("[a-z]*.py"))}
    return {}


def summary(path: Path) -> str:
    """The first line of the file's docstring, read without running it."""
    import ast

    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return docstring.partition("\n")[0]
