"""Comments in a schema's Python file that switch rules off where they stand.

    total: str  # llmx: ignore[R10]         this field
    class Row(BaseModel):  # llmx: ignore[R12, R04]      this class, and what is found in the whole of it
    # llmx: ignore-file[R08]                 the file

A comment is no part of the schema: it changes no request and no fingerprint. Nothing is run here; files are read.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pydantic

from llmx.schemas.advice.rules import rule_named
from llmx.schemas.dialects import place

__all__ = ["Suppressed", "suppressed_in"]

_COMMENT = re.compile(r"#\s*llmx:\s*(?P<kind>ignore|ignore-file)\[(?P<codes>[^\]]*)\]")
Comments = dict[int, tuple[str, set[str]]]
"""Line -> the kind of the comment there, and the codes it names."""
_LISTS = str.maketrans("", "", "[]*")


class Suppressed:
    """Which rules are off, and where.

    Args:
        places: paths without the signs of lists, each with the codes that are off there; "" is the whole.
        everywhere: codes that are off in all of it.
    """

    def __init__(self, places: dict[str, set[str]], everywhere: set[str]) -> None:
        self._places, self._everywhere = places, everywhere

    def has(self, code: str, path: str) -> bool:
        """Whether a rule is off at a place."""
        return code in self._everywhere or code in self._places.get(_plain(path), ())


def _plain(path: str) -> str:
    return path.translate(_LISTS).replace("..", ".").strip(".")


def suppressed_in(model: type[pydantic.BaseModel]) -> Suppressed:
    """Read the comments of every class that a model is made of; a class without a file has none."""
    places: dict[str, set[str]] = {}
    everywhere: set[str] = set()
    files: dict[Path, tuple[Comments, ast.Module]] = {}
    for path, one in _classes(model):
        file = _file_of(one)
        if file is None:
            continue
        if file not in files:
            files[file] = _read(file)
        comments, tree = files[file]
        everywhere |= {code for kind, codes in comments.values() if kind == "ignore-file" for code in codes}
        own, fields = _lines(one, tree)
        here = {code for line in own for code in _at(comments, line)}
        places.setdefault(_plain(path), set()).update(here)
        for name, lines in fields.items():
            info = one.model_fields.get(name)
            at = _plain(place(path, (info.alias if info else None) or name))
            places.setdefault(at, set()).update(here, *(_at(comments, line) for line in lines))
    return Suppressed(places, everywhere)


def _read(file: Path) -> tuple[Comments, ast.Module]:
    text = file.read_text(encoding="utf-8", errors="replace")
    return _comments(text), ast.parse(text)


def _at(comments: Comments, line: int) -> set[str]:
    kind, codes = comments.get(line, ("", set()))
    return codes if kind == "ignore" else set()


def _classes(root: type[pydantic.BaseModel]) -> Iterator[tuple[str, type[pydantic.BaseModel]]]:
    """Every model inside, with the first place where it stands."""
    waiting, known = [("", root)], {root}
    for above, model in waiting:  # grows while it is read
        yield above, model
        for name, info in model.model_fields.items():
            for inner in _models(info.annotation):
                if inner not in known:
                    known.add(inner)
                    waiting.append((place(above, info.alias or name), inner))


def _models(annotation: Any) -> Iterator[type[pydantic.BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _file_of(model: type[pydantic.BaseModel]) -> Path | None:
    try:
        found = inspect.getsourcefile(model)
    except (TypeError, OSError):
        return None
    return Path(found) if found and Path(found).is_file() else None


def _comments(text: str) -> Comments:
    """Of each line with such a comment, its kind and the codes it names."""
    found: Comments = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and (match := _COMMENT.search(token.string)):
            rules = (rule_named(name) for name in match["codes"].split(","))
            found[token.start[0]] = (match["kind"], {rule.code for rule in rules if rule})
    return found


def _lines(model: type[pydantic.BaseModel], tree: ast.Module) -> tuple[range, dict[str, range]]:
    """The lines of a class's head, and of each of its fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == model.__name__:
            fields = {
                one.target.id: range(one.lineno, (one.end_lineno or one.lineno) + 1)
                for one in node.body
                if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
            }
            return range(node.lineno, node.body[0].lineno), fields
    return range(0), {}
