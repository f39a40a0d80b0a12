"""Where a provider's key comes from: its SDK's own environment variables, or a key file. Never a flag.

A key is read once, handed to the SDK, and shown nowhere.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from llmx.errors import AuthenticationFailed, UsageError
from llmx.providers.catalog import CATALOG, CatalogEntry, parse_model

__all__ = ["KEYLESS", "api_key", "has_key", "read_key_file", "with_keys"]

KEYLESS = "not-needed"
"""Sent to servers that ask for no key, because the SDKs insist on one."""


def api_key(
    entry: CatalogEntry,
    variables: Mapping[str, str],
    *,
    key_file: Path | None = None,
    own_server: bool = False,
) -> str:
    """The key for a provider; the environment wins over the file.

    Args:
        variables: as in `os.environ`.
        own_server: the address was given by the user: a server there may need no key.

    Raises:
        AuthenticationFailed: there is none.
        UsageError: the key file cannot be used.
    """
    names = {**(read_key_file(key_file) if key_file else {}), **variables}
    for name in entry.keys:
        if key := names.get(name, "").strip():
            return _checked(name, key)
    if not entry.needs_key and (own_server or not entry.keys):
        return KEYLESS
    unset = (
        f"{entry.keys[0]} is not set"
        if len(entry.keys) == 1
        else f"neither {' nor '.join(entry.keys)} is set"
    )
    raise AuthenticationFailed(f"no key for {entry.name}: {unset}", hint=f"export {entry.keys[0]}=…")


def _checked(name: str, key: str) -> str:
    """A key that a header can carry; one that was pasted with more than itself would fail in every call."""
    if not key.isascii() or not key.isprintable() or " " in key:
        raise AuthenticationFailed(
            f"{name} holds characters that no key has",
            hint=f"set {name} to the key alone, without quotes or spaces",
        )
    return key


def with_keys(specs: Iterable[str], names: Iterable[str], variables: Mapping[str, str]) -> dict[str, str]:
    """The variables, with keys that are none: for what calls nobody. Raises UsageError.

    Args:
        specs: models, for whose providers there is to be a key.
        names: of further keys.
    """
    needed = [name for spec in specs for name in CATALOG[parse_model(spec).provider].keys[:1]]
    given = {name: value for name, value in variables.items() if value.strip()}
    return dict.fromkeys([*needed, *names], KEYLESS) | given


def has_key(entry: CatalogEntry, variables: Mapping[str, str]) -> bool:
    """Whether a provider could be called: its key is set, or it needs none."""
    return not entry.keys or any(variables.get(name, "").strip() for name in entry.keys)


def read_key_file(path: Path) -> dict[str, str]:
    """The names and keys in a file of NAME=KEY lines; "#" begins a comment line.

    Raises:
        UsageError: it is not there, others may read it, or a line is not NAME=KEY.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"key file {str(path)!r} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(f"key file {str(path)!r} can be read by others", hint=f"chmod 600 {path}")
    pairs: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip().removeprefix("export ")
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, key = stripped.partition("=")
        if not equals or not name.strip().isidentifier():
            raise UsageError(f"{path}:{number}: not NAME=KEY")
        pairs[name.strip()] = key.strip().strip("'\"")
    return pairs
