"""What of a rate limit is used, and what it costs to find out: the same rows in turn, over the same limits.

    python benchmarks/pacing.py [--rows 6000] [--rpm 3000] [--tpm 600000] [--latency 0.3:0.9] [--limit-window 1]
                                [--concurrency 32] [--runs 1] [--only NAME]... [--env FOLDER]

Contestants: llmx told the limits, llmx that learns them from headers, llmx that has 429s with retry-after alone;
instructor with aiolimiter, tenacity and asyncio.gather, told; litellm's Router, told, as it comes and with the settings
that make it enforce limits. All have the same cap on calls in flight, and each a mock of its own, freshly started, and an
empty cache. With --concurrency as high as --rows there is none.

Of each: rows done and lost; the share of the allowed quota, requests or tokens, whichever is higher, between 30 and 90 %
of the time from first call to last admission; calls that were refused for a limit; wall time over the ideal, which is
what the limits allow for the rows done plus one median latency; CPU. The start is in the latter two.

`--limit-window` is the mock's: a limit per minute is enforced second by second, or, with 60, by the minute. litellm is
installed by pip into an environment of its own, a temporary one or one that is kept in the FOLDER of --env.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from harness import CLIENT, Cost, extract, pinned, run, served, write_rows

LITELLM = "1.108.14"
"""Must not become 1.82.7 or 1.82.8: those carried a credential stealer."""

VARIABLES = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
"""Or litellm would download a price list at its import."""

TITLES = {
    "llmx-told": "llmx, told the limits",
    "llmx-headers": "llmx, headers",
    "llmx-429s": "llmx, 429s only",
    "aiolimiter": "aiolimiter + instructor",
    "litellm": "litellm Router",
    "litellm-enforced": "… limits enforced",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to.

    Args:
        share: of the quota in the steady part, of 1; NaN when the run was too short for one.
        refused: calls, and their share of all calls.
        wall: over the ideal.
        cpu: seconds.
    """

    done: float
    lost: float
    share: float
    refused: float
    refused_share: float
    wall: float
    cpu: float


def main() -> None:
    """Measure and print a table."""
    options = parsed()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = write_rows(folder / "rows.jsonl", options.rows)
        names, python = able(list(dict.fromkeys(options.only or TITLES)), options.env or folder)
        outcomes: dict[str, list[Outcome]] = {name: [] for name in names}
        for number in range(options.runs):
            for name in names:
                outcome = compete(name, python, rows, folder / f"{name}-{number}", options)
                outcomes[name] += [outcome] if outcome else []
    report(outcomes)


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--rpm", type=int, default=3000)
    parser.add_argument("--tpm", type=int, default=600_000)
    parser.add_argument("--latency", default="0.3:0.9")
    parser.add_argument("--limit-window", type=float, default=1.0)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--only", action="append", choices=TITLES)
    parser.add_argument("--env", type=lambda path: Path(path).absolute())
    return parser.parse_args()


def able(names: list[str], folder: Path) -> tuple[list[str], Path | None]:
    """Who can take part, and litellm's Python; without that, litellm cannot."""
    others = [name for name in names if not name.startswith("litellm")]
    if others == names:
        return names, None
    python = environment(folder)
    if python is None:
        print(f"litellm {LITELLM} could not be installed: left out", file=sys.stderr)
    return names if python else others, python


def environment(folder: Path) -> Path | None:
    """The Python of an environment with litellm in `folder`, made where there is none; None if it cannot be."""
    home = folder / f"litellm-{LITELLM}"
    python = home / "bin" / "python"
    if importable(python):
        return python
    pip = [str(python), "-m", "pip", "install", "--quiet", "--only-binary", ":all:", f"litellm=={LITELLM}"]
    for command in ([sys.executable, "-m", "venv", "--clear", str(home)], pip):
        if subprocess.run(command, capture_output=True).returncode:
            return None
    return python if importable(python) else None


def importable(python: Path) -> bool:
    """Whether it is there and finds litellm; an installation that was stopped half-way does not count."""
    command = [str(python), "-c", "import litellm"]
    found = python.exists() and subprocess.run(command, capture_output=True, env={**os.environ, **VARIABLES})
    return bool(found) and found.returncode == 0


def compete(
    name: str, python: Path | None, rows: Path, folder: Path, options: argparse.Namespace
) -> Outcome | None:
    """One run of one contestant in a new folder; None, and a word on why, if it failed."""
    limits = ["--rpm", str(options.rpm), "--tpm", str(options.tpm)]
    settings = [*limits, "--latency", options.latency, "--limit-window", str(options.limit_window)]
    settings += ["--no-limit-headers"] if name == "llmx-429s" else []
    with served(*settings) as server:
        url = f"{server.url}/v1"
        if name.startswith("llmx"):
            told = limits if name == "llmx-told" else []
            command = extract(server.url, rows, options.concurrency, "--max-failures", "100%", *told)
        else:
            command = competitor(name, python, url, rows, options)
        try:
            cost = run(command, folder, folder / "home", VARIABLES)
        except AssertionError as error:
            print(f"{TITLES[name]} failed: {str(error)[-2000:]}", file=sys.stderr)
            return None
        return judged(cost, stats(server.url), folder, options)


def competitor(
    name: str, python: Path | None, url: str, rows: Path, options: argparse.Namespace
) -> list[str]:
    """The command of one of contestants_pacing.py."""
    script = Path(__file__).with_name("contestants_pacing.py")
    interpreter = python if name.startswith("litellm") else sys.executable
    numbers = map(str, (options.concurrency, options.rpm, options.tpm))
    return [*pinned(CLIENT), str(interpreter), str(script), name, url, str(rows), *numbers]


def stats(url: str) -> dict[str, Any]:
    """What the mock saw."""
    with urllib.request.urlopen(url + "/stats") as response:
        return json.load(response)


def judged(cost: Cost, seen: dict[str, Any], folder: Path, options: argparse.Namespace) -> Outcome:
    """The run's figures, from its process, its output and what the mock saw."""
    done = len((folder / "out.jsonl").read_bytes().splitlines())
    tokens = seen["input_tokens"] + seen["output_tokens"]
    median_latency = float(options.latency.split(":")[0])
    # Of the rows that are done: who gives rows up is not to look faster for it.
    ideal = max(done / options.rpm, tokens / options.tpm) * 60 + median_latency
    return Outcome(
        done=done,
        lost=options.rows - done,
        share=steady_share(seen["admitted"], options.rpm, options.tpm),
        refused=seen["refused_by_limit"],
        refused_share=seen["refused_by_limit"] / seen["calls"],
        wall=cost.wall / ideal,
        cpu=cost.cpu,
    )


def steady_share(admitted: Sequence[tuple[int, int, int]], rpm: int, tpm: int) -> float:
    """Of the limit that is used more, in the whole seconds between 30 and 90 % of the time."""
    end = admitted[-1][0] + 1 if admitted else 0
    first, last = math.ceil(0.3 * end), math.floor(0.9 * end)
    if first >= last:
        return math.nan
    steady = [(calls, tokens) for second, calls, tokens in admitted if first <= second < last]
    calls, tokens = (sum(amounts) for amounts in zip(*steady, strict=True)) if steady else (0, 0)
    return max(calls / rpm, tokens / tpm) * 60 / (last - first)


def report(outcomes: dict[str, list[Outcome]]) -> None:
    """Medians."""
    print(
        f"{'':26}{'done':>7}{'lost':>7}{'share':>8}{'429s':>8}{'of calls':>10}{'wall/ideal':>12}{'CPU s':>8}"
    )
    for name, runs in outcomes.items():
        if not runs:
            print(f"{TITLES[name]:26}{'failed':>7}")
            continue
        done, lost, share, refused, refused_share, wall, cpu = map(
            statistics.median, zip(*map(astuple, runs), strict=True)
        )
        print(
            f"{TITLES[name]:26}{done:7,.0f}{lost:7,.0f}{share:8.1%}{refused:8,.0f}{refused_share:10.1%}{wall:12.2f}{cpu:8.1f}"
        )


if __name__ == "__main__":
    main()
