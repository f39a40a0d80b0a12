"""Where a provider's key comes from: its SDK's own environment variables, or files. Never a flag.

What holds a secret X may be given as X_FILE instead, the path of a file with nothing else in it, as
containers are given their secrets. A key is read once, handed to the SDK, and shown nowhere.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from llmx.errors import AuthenticationFailed, UsageError
from llmx.providers.catalog import CATALOG, CatalogEntry, named, parse_model

__all__ = ["KEYLESS", "api_key", "has_key", "read_key_file", "secret", "with_keys"]

KEYLESS = "not-needed"
"""Sent to servers that ask for no key, because the SDKs insist on one."""

SECRET_BYTES = 65_536
"""What a secret's file may hold at most: more is a wrong path."""


def secret(name: str, variables: Mapping[str, str]) -> str:
    """A secret by the name of its variable, without blanks around it; "" where there is none.

    Args:
        name: X; the variable X wins, else X_FILE is the path of a file that holds the secret and nothing
            else. Its mode is not looked at: containers mount secrets for all of their few users to read.
        variables: as in `os.environ`.

    Raises:
        UsageError: the file cannot be read, is no text, or is too large to be a secret.
    """
    if value := variables.get(name, "").strip():
        return value
    path = variables.get(f"{name}_FILE", "").strip()
    return _read_secret(f"{name}_FILE", Path(path)) if path else ""


def _read_secret(variable: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            held = file.read(SECRET_BYTES + 1)
        text = held.decode("utf-8-sig")
    except (OSError, ValueError) as error:  # a path with NUL, bytes that are no text: not to be repeated
        why = getattr(error, "strerror", None) or "it is not text"
        raise UsageError(
            f"{variable}: {str(path)!r} cannot be read: {why}", hint=f"unset {variable}"
        ) from None
    if len(held) > SECRET_BYTES:
        raise UsageError(f"{variable}: {str(path)!r} is too large to be a secret", hint=f"unset {variable}")
    return text.strip()


def api_key(
    entry: CatalogEntry,
    variables: Mapping[str, str],
    *,
    key_file: Path | None = None,
    own_server: bool = False,
) -> str:
    """The key for a provider; the environment wins over the key file.

    Args:
        variables: as in `os.environ`.
        own_server: the address was given by the user: a server there may need no key.

    Raises:
        AuthenticationFailed: there is none.
        UsageError: the key file, or one that X_FILE names, cannot be used.
    """
    filed = read_key_file(key_file) if key_file else {}
    for name in entry.keys:
        if key := secret(name, variables) or filed.get(name, "").strip():
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
    lacking = [name for name in (*needed, *names) if not named(name, variables)]
    return dict.fromkeys(lacking, KEYLESS) | given


def has_key(entry: CatalogEntry, variables: Mapping[str, str]) -> bool:
    """Whether a provider could be called: its key is set, or it needs none."""
    return not entry.keys or any(named(name, variables) for name in entry.keys)


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
