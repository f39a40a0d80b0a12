"""Secrets that lie in files: every secret variable X may be given as X_FILE, the path of a file that holds it.

That is how containers hand secrets over: a variable can be read by whoever may look at the process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from llmx.errors import UsageError
from llmx.providers import CATALOG
from llmx.settings import EndpointTable

__all__ = ["secret_from", "secret_names", "with_secrets"]

SUFFIX = "_FILE"


def secret_names(endpoints: Mapping[str, EndpointTable], *more: str) -> list[str]:
    """The variables that hold secrets: keys of all providers, those of the config file's endpoints, and `more`."""
    keys = [name for entry in CATALOG.values() for name in entry.keys]
    own = [table.key_name for table in endpoints.values() if table.key_name]
    return list(dict.fromkeys([*keys, *own, *more]))


def with_secrets(variables: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The variables, with those secrets that stand in files. Raises UsageError."""
    found = {name: value for name in names if (value := secret_from(variables, name)) is not None}
    return {**variables, **found}


def secret_from(variables: Mapping[str, str], name: str) -> str | None:
    """A secret variable's value, or the content of the file that NAME_FILE names; None where neither is set.

    Raises:
        UsageError: the file cannot be read; its name is told, never its content.
    """
    if value := variables.get(name, "").strip():
        return value
    path = variables.get(name + SUFFIX, "").strip()
    if not path:
        return None
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = (
            os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else "not UTF-8"
        )
        raise UsageError(f"{name}_FILE: cannot read {path!r}: {reason}") from None
