"""llmx: bulk structured extraction with language models.

The library is `extract` and its async twin `aextract`; everything else is the command line's engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmx._version import __version__

if TYPE_CHECKING:
    from llmx.api import aextract, extract

__all__ = ["__version__", "aextract", "extract"]


def __getattr__(name: str) -> Any:
    # Imported where used: `llmx --version` must not pay for the pipeline.
    if name in ("aextract", "extract"):
        from llmx import api

        return getattr(api, name)
    raise AttributeError(f"module 'llmx' has no attribute {name!r}")
