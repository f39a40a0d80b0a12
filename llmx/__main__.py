"""The process: the only place that exits.

What shells ask at every key, and what scripts ask first, is answered here, before a command line is imported.
"""

from __future__ import annotations

import gc
import os
import sys

RARELY = (50_000, 20, 20)
"""Objects after which the collector looks for cycles. Importing makes none that goes away, nor does a row, and at
Python's own 700 it looks a hundred times before the first call."""


def entry() -> None:
    """Run the command line and exit with its code."""
    try:
        if (answer := _at_once(sys.argv[1:])) is not None and _printed(answer):
            return
        gc.set_threshold(*RARELY)
        from llmx.cli.app import main

        code = main(sys.argv[1:])
    except KeyboardInterrupt:  # while it was still being imported
        code = 130
    sys.exit(code)


def _at_once(argv: list[str]) -> str | None:
    """What needs no command line; None for all else."""
    if argv == ["--version"]:
        from llmx._version import __version__

        return f"llmx {__version__}"
    if "_LLMX_COMPLETE" in os.environ:
        from llmx.cli.complete import answered

        return answered(os.environ)
    return None


def _printed(text: str) -> bool:
    """Whether it could be; why not is for the command line to say."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except (AttributeError, OSError):  # closed, full, or without a reader
        return False
    return True


if __name__ == "__main__":
    entry()
