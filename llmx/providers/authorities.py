"""The authorities that servers' certificates are checked by: the system's, or those that the user names.

The SDKs look for them in the same places. A name that is wrong is told before anything is sent, for it would look like
a network that fails.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from llmx.errors import UsageError

if TYPE_CHECKING:
    import ssl

__all__ = ["check_authorities", "tls_context"]

_HINT = "it holds certificates in PEM; unset it to trust the system's authorities"


def tls_context() -> ssl.SSLContext:
    """A client's side of TLS."""
    from httpx2 import create_ssl_context

    return create_ssl_context()


def check_authorities() -> None:
    """Refuse what the user names and no certificate can be read from. Raises UsageError."""
    if file := os.environ.get("SSL_CERT_FILE"):
        _check_file(file)
    elif (folders := os.environ.get("SSL_CERT_DIR")) and not any(map(_is_folder, folders.split(os.pathsep))):
        raise UsageError(f"SSL_CERT_DIR names no folder: {folders!r}", hint=_HINT)


def _check_file(file: str) -> None:
    import ssl

    try:
        ssl.create_default_context(cafile=file)
    except OSError as error:  # among which are those of TLS
        reason = getattr(error, "reason", None) or error.strerror
        raise UsageError(f"SSL_CERT_FILE names no certificates: {file!r}: {reason}", hint=_HINT) from error


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:
        return False
