"""Draw docs/report.png and docs/report-rows.png from a real run: `python docs/report_pictures.py`, about a minute.

Needs Pillow beside what the tests need (playwright, a Chromium on PATH): `pip install Pillow`. The run is one of `llmx extract`
against `llmx mock`, so journal, costs and times are its own; since the mock knows nothing, what it answered is then
replaced by what somebody who reads would have answered, with the columns that `--evidence` and `--votes` add.
"""

from __future__ import annotations

import io
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
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent

ROWS = 1_200

SCHEMA = "topic delivery|billing|warranty|account|praise, product?, order int?, urgency 1|2|3|4|5, wishes list[str]"

PRODUCTS = (
    "kettle",
    "office chair",
    "running shoes",
    "desk lamp",
    "coffee grinder",
    "headphones",
    "rain jacket",
)

SAID = {
    "delivery": (
        "my {product} (order {order}) has still not arrived. Could you find out where it is?",
        ["find the parcel"],
    ),
    "billing": (
        "I was charged twice for the {product}, order {order}. Please refund one of the payments.",
        ["a refund"],
    ),
    "warranty": (
        "the {product} from order {order} broke after a week. I would like a new one or my money back.",
        ["a new one", "money back"],
    ),
    "account": (
        "I cannot log in any more, and the mail to reset my password never comes.",
        ["a new password"],
    ),
    "praise": ("just wanted to say that the {product} is lovely, and came a day early. Thank you!", []),
}

HELLO = ("Hello, ", "Hi there, ", "Good morning, ", "Dear all, ", "Bonjour, ", "")


def ticket(number: int, draw: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """A row, and what is in it."""
    topic = draw.choices(list(SAID), [8, 5, 4, 3, 2])[0]
    text, wishes = SAID[topic]
    product, order = draw.choice(PRODUCTS), draw.randrange(40_000, 60_000)
    row = {"id": f"t{number + 1}", "text": draw.choice(HELLO) + text.format(product=product, order=order)}
    found = {
        "topic": topic,
        "product": product if "{product}" in text else None,
        "order": order if "{order}" in text else None,
    }
    return row, {**found, "urgency": draw.choices([1, 2, 3, 4, 5], [2, 3, 5, 4, 2])[0], "wishes": wishes}


def quoted(row: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """What `--evidence` would say."""
    evidence: dict[str, Any] = {}
    for field in ("product", "order"):
        if (value := answer[field]) is not None:
            start = row["text"].find(str(value))
            evidence[field] = {
                "quote": str(value),
                "column": "text",
                "start": start,
                "end": start + len(str(value)),
                "match": "exact",
            }
    return evidence


def answered(path: Path, target: Path, truth: dict[str, Any], right: float, seed: int) -> None:
    """Put a reader's answers in the place of the mock's, `right` of them right."""
    draw = random.Random(seed)  # noqa: S311  a picture, no secret
    with target.open("w") as file:
        for line in path.read_text().splitlines():
            row = json.loads(line)
            answer, sure = dict(truth[row["id"]]), draw.random() < right
            if not sure:
                answer["topic"] = draw.choice(list(SAID))
            confidence = {
                "topic": round(draw.betavariate(12, 1) if sure else draw.betavariate(4, 4), 2),
                "product": round(draw.betavariate(15, 1), 2),
            }
            file.write(
                json.dumps({**row, **answer, "_evidence": quoted(row, answer), "_confidence": confidence})
                + "\n"
            )


def llmx(folder: Path, *argv: str, **variables: str) -> None:
    """A command; failed rows are part of the picture."""
    env = {**os.environ, "LLMX_HOME": str(folder / "home"), "OPENAI_API_KEY": "mock", **variables}
    done = subprocess.run(  # noqa: S603  our own
        [sys.executable, "-m", "llmx", *argv],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 3):
        raise RuntimeError(done.stderr)


@contextmanager
def mock() -> Iterator[str]:
    """A simulated provider; its address."""
    words = "mock --port 0 --latency 0.3:1.6 --error-rate 0.02 --refusal-rate 0.006 --malformed-rate 0.01"
    command = [sys.executable, "-m", "llmx", *words.split()]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603  our own
        try:
            assert process.stderr is not None
            found = re.search(r"http://\S+/v1", process.stderr.readline())
            assert found is not None
            yield found[0]
        finally:
            process.terminate()


def report(folder: Path) -> Path:
    """A run, another one, and the report of both."""
    draw = random.Random(7)  # noqa: S311  a picture, no secret
    made = [ticket(number, draw) for number in range(ROWS)]
    truth = {row["id"]: answer for row, answer in made}
    (folder / "tickets.jsonl").write_text("".join(json.dumps(row) + "\n" for row, _ in made))
    with mock() as address:
        endpoint = f'[endpoint.gpt-5-mini]\nmodel = "openai/gpt-5-mini"\nbase-url = "{address}"\ninput-price = 0.25\noutput-price = 2.0\n'
        (folder / "llmx.toml").write_text(endpoint)
        llmx(
            folder,
            "extract",
            "tickets.jsonl",
            "-s",
            SCHEMA,
            "-m",
            "gpt-5-mini",
            "--key",
            "id",
            "--rpm",
            "2400",
            "-o",
            "labels.jsonl",
        )
    shutil.copyfile(folder / "labels.jsonl", folder / "plain.jsonl")
    answered(folder / "plain.jsonl", folder / "labels.jsonl", truth, 0.94, 1)
    answered(folder / "plain.jsonl", folder / "small-model.jsonl", truth, 0.86, 2)
    llmx(folder, "report", "labels.jsonl", "--compare", "small-model.jsonl")
    return folder / "labels.report.html"


def shot(page: Page, path: Path) -> None:
    """What can be seen, as a small file."""
    image = Image.open(io.BytesIO(page.screenshot()))
    image.convert("RGB").quantize(128).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size:,} bytes")


def main() -> int:
    """Draw both; returns an exit code."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("error: no chromium\nhint: sh .ci/programs", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        address = report(Path(name)).as_uri()
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        page = browser.new_page(
            viewport={"width": 1180, "height": 860}, device_scale_factor=1.5, reduced_motion="reduce"
        )
        page.goto(address + "#fields")
        page.wait_for_selector("#fields")
        shot(page, HERE / "report.png")
        page = browser.new_page(
            viewport={"width": 1180, "height": 640}, device_scale_factor=1.5, color_scheme="dark"
        )
        page.goto(address + "#row-4")
        page.wait_for_selector("#detail mark")
        page.locator("#list").focus()
        shot(page, HERE / "report-rows.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
