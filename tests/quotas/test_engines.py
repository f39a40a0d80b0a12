"""Ten workers, each with an engine, against one simulated provider that counts for itself."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any, cast

import pytest
from fakes import LoopClock
from ledgers import Books
from rehearsal import Talk, in_simulated_time, some_rows, write_rows

from llmx.environment import Environment
from llmx.job import execute
from llmx.layers.stop import Stop
from llmx.mock import Latency, MockSettings
from llmx.mock.server import serve
from llmx.planning import plan
from llmx.quotas import KeyLimits, Quotas
from llmx.report.summary import Figures
from llmx.settings import Settings

RPM = 300


async def worker(folder: Path, url: str, quotas: Quotas, rows: int, **options: Any) -> int:
    """One run of rows that no other worker has; its exit code."""
    folder.mkdir()  # noqa: ASYNC240  # the loop is this test's own
    write_rows(
        folder / "in.jsonl", [{**row, "text": f"{folder.name}: {row['text']}"} for row in some_rows(rows)]
    )
    env = Environment(
        stdin=io.BytesIO(), stdout=io.BytesIO(), variables={"LLMX_HOME": str(folder / "home")}, cwd=folder
    )
    given: dict[str, Any] = {
        "inputs": ["in.jsonl"],
        "output": "out.jsonl",
        "schema": "name, age int",
        **options,
    }
    where = {"model": "openai/mock", "base_url": f"{url}/v1"}
    figures = Figures(LoopClock())
    report = await execute(
        plan(Settings.of({**given, **where}), env),
        stop=Stop(figures.stopped),
        figures=figures,
        talk=Talk(),
        clock=LoopClock(),
        commons=quotas.commons(KeyLimits("team", daily_tokens=10**9)),
    )
    await quotas.aclose()
    return report.exit_code


@pytest.mark.parametrize("told", [True, False], ids=["told", "by headers"])
def test_ten_workers_stay_within_one_accounts_limit(tmp_path: Path, told: bool):
    """No minute of the provider's own counting holds more, nobody is refused, and above 90 % is used."""

    async def main() -> tuple[list[int], dict[str, Any], int]:
        clock = LoopClock()
        ledger = Books(tmp_path / "ledger.db", now=clock.now, monotonic=clock.now)
        mock = MockSettings(rpm=RPM, latency=Latency(0.2, 0.8))
        options = {"rpm": RPM} if told else {}
        async with await serve(mock, clock=clock) as server:
            everyone = [Quotas(cast(Any, ledger), clock=clock) for _ in range(10)]
            runs = [
                worker(tmp_path / f"w{n}", server.url, quotas, 75, **options)
                for n, quotas in enumerate(everyone)
            ]
            codes = await asyncio.gather(*runs)
            standing = await everyone[0].standing(KeyLimits("team", daily_tokens=10**9))
            stats = server.stats()
        ledger._db.close()
        return list(codes), stats, standing.tokens

    codes, stats, tokens = in_simulated_time(main)
    assert codes == [0] * 10
    assert tokens == stats["input_tokens"] + stats["output_tokens"]
    assert stats["busiest_60s_calls"] <= RPM + stats["refused_by_limit"]
    assert stats["busiest_60s_answered"] > 0.9 * RPM
    if told:
        assert stats["refused_by_limit"] == 0
