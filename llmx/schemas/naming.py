"""Field names that Python or pydantic would not take, turned into attribute names that they do."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

from pydantic import BaseModel

__all__ = ["attribute_names"]


def attribute_names(names: Iterable[str]) -> dict[str, str]:
    """An attribute name for each field name, the name itself wherever it can be one.

    The others are spelled with underscores (`first-name` is `first_name`, `class` is `class_`) and
    kept apart from each other; the field then carries its real name as its alias.

    Args:
        names: all different.
    """
    names = list(names)
    chosen = {name: name for name in names if _usable(name)}
    taken = set(chosen.values())
    for name in names:
        if name not in chosen:
            chosen[name] = _apart(_spelled(name), taken)
            taken.add(chosen[name])
    return {name: chosen[name] for name in names}


def _usable(name: str) -> bool:
    # pydantic guards the prefix "model_", and its own attributes (schema, json, copy) would be shadowed.
    # Python folds identifiers to NFKC when it reads them, but not when they are given as text: both work here.
    return (
        name.isidentifier()
        and not keyword.iskeyword(name)
        and not name.startswith(("_", "model_"))
        and not hasattr(BaseModel, name)
    )


def _spelled(name: str) -> str:
    # \w is wider than what an identifier may hold: "²" is one of its digits.
    spelled = "".join(letter if f"a{letter}".isidentifier() else "_" for letter in name)
    spelled = re.sub("_+", "_", spelled).strip("_")
    if not spelled.isidentifier() or spelled.startswith("model_"):
        spelled = f"field_{spelled}"
    return spelled if _usable(spelled) else f"{spelled}_"


def _apart(name: str, taken: set[str]) -> str:
    candidate, number = name, 2
    while candidate in taken or not _usable(candidate):
        candidate, number = f"{name}_{number}", number + 1
    return candidate
