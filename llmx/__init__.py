"""llmx: bulk structured extraction with language models.

The library is `extract`, its async twin `aextract`, and `stream` and `astream` for one row's fields as they come; everything else is the
command line's engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmx._version import __version__

if TYPE_CHECKING:
    from llmx.api import aextract, extract
    from llmx.streaming import astream, stream

__all__ = ["__version__", "aextract", "astream", "extract", "stream"]


def __getattr__(name: str) -> Any:
    # Imported where used: `llmx --version` must not pay for the pipeline.
    if name in ("aextract", "extract"):
        from llmx import api

        return getattr(api, name)
    if name in ("astream", "stream"):
        from llmx import streaming

        return getattr(streaming, name)
    raise AttributeError(f"module 'llmx' has no attribute {name!r}")
