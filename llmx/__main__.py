"""The process: the only place that exits."""

from __future__ import annotations

import sys


def entry() -> None:
    """Run the command line and exit with its code."""
    try:
        from llmx.cli.app import main

        code = main(sys.argv[1:])
    except KeyboardInterrupt:  # while it was still being imported
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    entry()
