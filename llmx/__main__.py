"""The process: the only place that exits."""

from __future__ import annotations

import sys


def entry() -> None:
    """Run the command line and exit with its code."""
    from llmx.cli.app import main

    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    entry()
