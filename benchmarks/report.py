"""What a report of many rows costs: to write it, on the disk, and until it can be used in Chromium.

    python benchmarks/report.py [--rows 100000] [--chromium /usr/bin/chromium] [--times 3]

The rows are made here, with evidence, confidences and a journal's worth of fields; no model and no server is needed.
Beside the time until the page can be used stands what a search for a word that is in no row takes, which unpacks every row,
first and again. Chromium's memory is that of the page's JavaScript heap after that. There are two floors to compare with: a
program that reads, encodes, compresses and writes the same rows and looks at none of them, and a page of the same size without
its script.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import run

WORDS = [
    "the",
    "order",
    "has",
    "not",
    "arrived",
    "yet",
    "could",
    "somebody",
    "look",
    "into",
    "it",
    "please",
    "thank",
    "you",
    "very",
    "much",
    "kind",
    "regards",
]

INTENTS = ("delivery", "refund", "warranty", "invoice", "other")


FLOOR = """
import base64, gzip, sys
import orjson
from llmx.cli.app import main
with open(sys.argv[1], "rb") as rows, open(sys.argv[2], "wb") as page:
    held = []
    for line in rows:
        held.append(orjson.dumps(orjson.loads(line)))
        if len(held) == 256:
            page.write(base64.b64encode(gzip.compress(b"\\n".join(held), 6)))
            held = []
    page.write(base64.b64encode(gzip.compress(b"\\n".join(held), 6)))
"""
"""The least that a page with these rows in it takes."""


def row(number: int, draw: random.Random) -> dict[str, Any]:
    """A row of some 700 bytes, as `llmx extract` would write it."""
    text = " ".join(draw.choices(WORDS, k=30)) + f" no. {number}"
    quote = text.split(" no. ")[1]
    start = len(text) - len(quote)
    return {
        "id": number,
        "text": text,
        "intent": draw.choice(INTENTS),
        "order": quote,
        "stars": draw.choice([None, 1, 2, 3, 4, 5]),
        "amount": round(draw.lognormvariate(3, 1), 2),
        "tags": draw.sample(WORDS, draw.randrange(4)),
        "_evidence": {
            "order": {"quote": quote, "column": "text", "start": start, "end": len(text), "match": "exact"}
        },
        "_confidence": {"intent": round(draw.betavariate(8, 2), 3), "order": 0.99},
    }


def write(path: Path, rows: int) -> None:
    """Write the output."""
    draw = random.Random(1)
    with path.open("w") as file:
        for number in range(rows):
            file.write(json.dumps(row(number, draw)) + "\n")


def floor(report: Path) -> Path:
    """The same page without its script, beside it."""
    text = report.read_text()
    path = report.with_name("floor.html")
    path.write_text(text[: text.rindex("<script>")])
    return path


def opened(chromium: str, page: Path, rows: int, times: int) -> Iterator[dict[str, float]]:
    """Seconds until the page can be used, and that two searches take; bytes of its heap."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        for _ in range(times):
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            tab = browser.new_page()
            started = time.perf_counter()
            tab.goto(page.as_uri(), wait_until="load")
            took = {"load": time.perf_counter() - started}
            if "floor" not in page.name:
                tab.wait_for_selector("html[data-ready=yes]")
                took["ready"] = time.perf_counter() - started
                took |= searched(tab, rows)
            browser.close()
            yield took


def searched(tab: Any, rows: int) -> dict[str, float]:
    """What it takes to look through all rows, twice."""
    from playwright.sync_api import expect

    tab.keyboard.press("/")
    told = tab.locator("#count")
    took = {}
    for name, word in (("search", "zebra"), ("again", "giraffe")):
        tab.fill("#search", "")
        expect(told).to_have_text(f"{rows:,} rows")
        started = time.perf_counter()
        tab.fill("#search", word)
        expect(told).to_have_text(f"0 of {rows:,} rows", timeout=60_000)
        took[name] = time.perf_counter() - started
    took["heap"] = tab.evaluate("performance.memory.usedJSHeapSize / 1e6")
    return took


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        output = folder / "out.jsonl"
        write(output, options.rows)
        cost = run([sys.executable, "-m", "llmx", "report", "../out.jsonl"], folder / "work", folder / "home")
        page = folder / "out.report.html"
        size, raw = page.stat().st_size / 1e6, output.stat().st_size / 1e6
        least = run(
            [sys.executable, "-c", FLOOR, str(output), str(folder / "least")],
            folder / "work",
            folder / "home",
        )
        print(f"{options.rows:,} rows, {raw:.1f} MB of JSON Lines")
        print(
            f"written in {cost.wall:.2f} s, {cost.cpu:.2f} s of CPU, peak {cost.memory / 1e6:.0f} MB; {size:.1f} MB"
        )
        print(
            f"the floor: {least.wall:.2f} s, {least.cpu:.2f} s of CPU; {cost.cpu / least.cpu:.2f} times that"
        )
        for path in (floor(page), page):
            took = list(opened(options.chromium, path, options.rows, options.times))
            for figure in took[0]:
                values = [each[figure] for each in took]
                print(f"{path.stem:12} {figure:8} {statistics.median(values):8.2f}")


if __name__ == "__main__":
    main()
