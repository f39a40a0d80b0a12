"""A report streams: what more rows take."""

from __future__ import annotations

from pathlib import Path

from paged import write_lines
from peak import peak_kib

REPORT = """
import io, sys
from pathlib import Path
from llmx.environment import Environment
from llmx.pages import Asked, write_report
folder = Path(sys.argv[1])
env = Environment(io.BytesIO(), io.BytesIO(), io.StringIO(), {"LLMX_HOME": sys.argv[1]}, folder)
write_report(Asked("out.jsonl", key="id", compare="out.jsonl", target="page.html"), env)
"""


def peak(folder: Path, rows: int) -> int:
    folder.mkdir()
    text = "the order has not arrived yet, could somebody look into it " * 5
    write_lines(folder / "out.jsonl", ({"id": n, "text": f"{n} {text}", "n": n * 1.5} for n in range(rows)))
    return peak_kib(REPORT, folder)


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Ten times as many rows, 13 MB of them, take a few megabytes more: two bytes for each, and what a file of SQLite's is
    cached in."""
    few, many = peak(tmp_path / "few", 4_000), peak(tmp_path / "many", 40_000)
    assert many - few < 8 * 1024
