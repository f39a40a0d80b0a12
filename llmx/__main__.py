"""The process: the only place that exits.

What shells ask at every key, and what scripts ask first, is answered here, before a command line is imported.
"""

from __future__ import annotations

import os
import sys


def entry() -> None:
    """Run the command line and exit with its code."""
    try:
        if (answer := _at_once(sys.argv[1:])) is not None:
            print(answer)
            return
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


if __name__ == "__main__":
    entry()
