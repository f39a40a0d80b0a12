"""The action's figures as text: a run's as Markdown, or the accuracy of an evaluation.

Runs with any python3 and nothing installed: the environment of llmx is not the job's.
"""

import json
import sys
from pathlib import Path
from typing import Any


def markdown(summary: dict[str, Any]) -> str:
    """A run in two lines: what became of its rows, and what it took."""
    rows, cost = summary["rows"], summary["cost"]
    free = rows["cached"] + rows["resumed"]
    counts = f"{rows['total']} rows: {rows['ok']} ok, {rows['failed']} failed, {free} known from before"
    money = "at unknown cost" if cost is None else f"for ${float(cost):.4f}"
    took = f"{summary['calls']} calls {money}, {summary['seconds']:.0f} s"
    stopped = f"\n\n**Stopped:** {code(summary['stopped'])}" if summary.get("stopped") else ""
    return f"### {code(summary['output'])}\n\n{counts} · {took}{stopped}\n"


def code(text: object) -> str:
    """Text as Markdown's code, in which nothing has a meaning."""
    return "`" + " ".join(str(text).replace("`", "'").split()) + "`"


def main(arguments: list[str]) -> None:
    """`summary.py FILE` or `summary.py --accuracy FILE`."""
    document = json.loads(Path(arguments[-1]).read_text(encoding="utf-8"))
    if arguments[0] == "--accuracy":
        accuracy = document["overall"]["accuracy"]
        print("" if accuracy is None else accuracy)  # None: there was nothing to compare
    else:
        print(markdown(document))


if __name__ == "__main__":
    main(sys.argv[1:])
