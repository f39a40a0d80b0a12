"""Names for what is found in rows: classes, attributes, and keys as words of a description."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import chain, count

from llmx.schemas.advice.names import explains, is_fact, names_measure
from llmx.schemas.naming import attribute_names

__all__ = ["Names", "attributes", "in_words", "speaks_of_fact", "speaks_of_reasoning"]

LONGEST_NAME = 30
"""Characters of a name in Python: a longer one would not fit on a line with its type."""
_LONGEST_CLASS = 26
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[^\W_]+")
_USED = frozenset(
    {"Annotated", "Any", "BaseModel", "BeforeValidator", "ConfigDict", "Field", "Literal", "PlainSerializer"}
    | {
        "AliasChoices",
        "bool",
        "datetime",
        "dict",
        "float",
        "int",
        "list",
        "str",
        "Union",
        "isinstance",
        "as_object",
        "as_pairs",
    }
)
"""What a file uses: a name of these would hide it from the lines below."""


def in_words(key: str) -> str:
    """`postal_code`, `postalCode` and `PostalCode` as `postal code`; "value" where there is no word in it."""
    found = [
        word if word.isupper() and len(word) > 1 else word.lower()
        for word in _WORD.findall(_HUMP.sub(" ", key))
    ]
    text = " ".join(found)
    return text[:LONGEST_NAME].strip() or "value"


def speaks_of_reasoning(key: str) -> bool:
    """Whether a field by this name holds how the answer was found, rather than an answer."""
    return explains(key, "")


def speaks_of_fact(key: str) -> bool:
    """Whether a field by this name holds something that a text often leaves out."""
    return is_fact(key) or names_measure(key)


def attributes(keys: Iterable[str], taken: Iterable[str]) -> dict[str, str]:
    """An attribute's name for each key: the key itself wherever Python and the file can have it.

    Args:
        keys: all different.
        taken: names that the file needs for something else.
    """
    keys, used = list(keys), {*_USED, *taken}
    chosen: dict[str, str] = {}
    for key, name in attribute_names(keys).items():
        if name == key and _stays(name, used):
            chosen[key] = name
    for key, name in attribute_names(keys).items():
        if key not in chosen:
            chosen[key] = _apart(_folded(name), {*used, *chosen.values()})
    return {key: chosen[key] for key in keys}


def _stays(name: str, used: set[str]) -> bool:
    """Python reads identifiers in the form NFKC, so another one would be another field in a file."""
    return name not in used and len(name) <= LONGEST_NAME and unicodedata.normalize("NFKC", name) == name


def _folded(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name)
    spelled = next(iter(attribute_names([folded]).values()))
    short = spelled if len(spelled) <= LONGEST_NAME else spelled[:LONGEST_NAME].strip("_")
    return short if unicodedata.normalize("NFKC", short) == short and short.isidentifier() else "field"


def _apart(name: str, taken: set[str]) -> str:
    candidates = chain((name, f"{name}_"), (f"{name}_{number}" for number in count(2)))
    return next(one for one in candidates if one not in taken and attribute_names([one])[one] == one)


class Names:
    """Names of classes and aliases in one file, each given once.

    Args:
        taken: names that none may have.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = {*_USED, *taken, "True", "False", "None"}

    def new(self, key: str, *, one: bool = False) -> str:
        """A class's name for what is under `key`; with `one`, for one element of the list there."""
        words = [word for word in in_words(key).split() if word.isascii()]
        if one and words and words[-1].endswith("s") and not words[-1].endswith("ss"):
            words[-1] = words[-1][:-3] + "y" if words[-1].endswith("ies") else words[-1][:-1]
        name = "".join(word[:1].upper() + word[1:] for word in words) or "Part"
        name = (name if name.isidentifier() else f"Part{name}")[:_LONGEST_CLASS]
        candidates = chain((name, f"{name}Type"), (f"{name}{number}" for number in count(2)))
        found = next(one for one in candidates if one not in self._taken)
        self._taken.add(found)
        return found
