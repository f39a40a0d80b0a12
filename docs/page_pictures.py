"""Draw docs/page-job.png, docs/page-rows.png and docs/page-new.png from a real service: `python docs/page_pictures.py`, about a minute.

Needs Pillow beside what the tests need (playwright, a Chromium on PATH): `pip install Pillow`. The service is `llmx serve` before
`llmx mock`, which answers the rows of these pictures as somebody who reads would have; progress, costs and times are its own.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from report_pictures import SCHEMA, shot, ticket

HERE = Path(__file__).parent

ROWS, SLOW = 6_000, "0.6:2.4"


@contextmanager
def command(folder: Path, found: str, *argv: str) -> Iterator[str]:
    """One of our commands, and the address that it says it has."""
    env = {**os.environ, "LLMX_HOME": str(folder / "home"), "OPENAI_API_KEY": "mock"}
    said = {"cwd": folder, "env": env, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-m", "llmx", *argv], **said) as process:  # type: ignore[call-overload]  # noqa: S603  our own
        try:
            for line in process.stderr:
                if match := re.search(found, line):
                    yield match[0]
                    return
            raise RuntimeError(f"llmx {argv[0]} did not start")
        finally:
            process.terminate()


def files(folder: Path) -> None:
    """Rows, their right answers, and what the service is to know of its model."""
    draw = random.Random(7)  # noqa: S311  a picture, no secret
    made = [ticket(number, draw) for number in range(ROWS)]
    (folder / "tickets.jsonl").write_text("".join(json.dumps(row) + "\n" for row, _ in made))
    (folder / "gold.jsonl").write_text(
        "".join(json.dumps({**row, "gold": gold}) + "\n" for row, gold in made)
    )


def configure(folder: Path, address: str) -> None:
    """A model with a price."""
    model = f'model = "openai/gpt-5-mini"\nbase-url = "{address}"\ninput-price = 0.25\noutput-price = 2.0\n'
    (folder / "llmx.toml").write_text(f"[endpoint.gpt-5-mini]\n{model}")


def draw(page: Page, folder: Path) -> None:
    """Try a schema, run all rows, and look at one of them."""
    page.wait_for_selector("#model option", state="attached")
    page.set_input_files("#file", folder / "tickets.jsonl")
    page.fill("#schema-inline", SCHEMA)
    page.get_by_label("Quote the words").check()
    page.get_by_role("button", name="Try the first 3 rows").click()
    page.wait_for_selector("text=for 3 rows")
    page.evaluate("scrollTo(0, document.querySelector('.step:last-child').offsetTop - 62)")
    shot(page, HERE / "page-new.png")
    page.get_by_role("button", name="rows as a job").click()
    page.wait_for_selector("svg.timeline", timeout=120_000)
    while int(page.get_by_role("progressbar").get_attribute("aria-valuenow") or 0) < 40:
        page.wait_for_timeout(200)
    shot(page, HERE / "page-job.png")
    page.emulate_media(color_scheme="dark")
    page.get_by_role("link", name="Browse the results").click()
    page.locator(".grid-body .grid-row").nth(3).click()
    page.wait_for_selector("#detail mark")
    shot(page, HERE / "page-rows.png")


def main() -> int:
    """Draw all of them; returns an exit code."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("error: no chromium\nhint: sh .ci/programs", file=sys.stderr)
        return 2
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        files(folder)
        mock = command(
            folder,
            r"http://\S+/v1",
            "mock",
            "--port",
            "0",
            "--gold",
            "gold.jsonl",
            "--gold-errors",
            "0.05",
            "--latency",
            SLOW,
            "--refusal-rate",
            "0.01",
        )
        with mock as address:
            configure(folder, address)
            with command(
                folder, r"http://[\d.:]+", "serve", "--port", "0", "-m", "gpt-5-mini", "--rpm", "9000"
            ) as service:
                browser = playwright.chromium.launch(executable_path=chromium, args=options)
                page = browser.new_page(
                    viewport={"width": 1180, "height": 760}, device_scale_factor=1.5, reduced_motion="reduce"
                )
                page.goto(service + "/#/new")
                draw(page, folder)
                browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
