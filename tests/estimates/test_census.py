"""The input, counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peak import peak_kib

from llmx.connecting import Quiet
from llmx.environment import Environment
from llmx.estimates import census as module
from llmx.estimates.candidates import candidates
from llmx.estimates.census import Census, Spread, census
from llmx.planning import plan
from llmx.settings import Settings

TEXTS = [f"text {number % 400}" for number in range(1_000)]
"""Of 400 kinds: the first 200 of these come three times, the others twice."""


def counted(
    folder: Path, lines: Sequence[str], *, kept: int = 100_000, choose: int = 0, **options: str
) -> Census:
    """The census of these lines of a file, for one model."""
    file = folder / "rows.jsonl"
    file.write_text("".join(f"{line}\n" for line in lines))
    settings = Settings.of(
        {"inputs": [str(file)], "schema": "name str", "model": "openai/gpt-5-mini", **options}
    )
    env = Environment(variables={"LLMX_HOME": str(folder / "home")}, cwd=folder)

    async def count() -> Census:
        planned = plan(settings, env)
        async with candidates(planned, planned.settings.model, Quiet(print)) as models:
            return await census(planned, models, choose=choose, kept=kept)

    return asyncio.run(count())


def rows(texts: Sequence[str]) -> list[str]:
    """Lines, each with a key of its own."""
    return [json.dumps({"id": number, "text": text}) for number, text in enumerate(texts)]


def test_rows_that_are_alike_are_asked_about_once(tmp_path: Path) -> None:
    """Whatever their key is."""
    found = counted(tmp_path, rows(TEXTS), key="id")
    assert (found.rows, found.exact) == (1_000, True)
    assert (found.counts[0].ask, found.counts[0].alike) == (400, 600)


def test_a_template_tells_which_rows_are_alike(tmp_path: Path) -> None:
    """By the columns that it uses."""
    found = counted(tmp_path, rows(TEXTS), prompt="{{ text }}")
    assert found.counts[0].ask == 400


def test_what_cannot_be_asked_about(tmp_path: Path) -> None:
    """Lines that are no rows, and rows of which the model is shown nothing."""
    found = counted(tmp_path, ['{"text": "a"}', "nonsense", '{"_hidden": 1}', "[]"])
    assert (found.rows, found.unreadable) == (4, 2)
    assert (found.counts[0].ask, found.counts[0].fails) == (1, 1)


def test_an_empty_input(tmp_path: Path) -> None:
    """It has nothing of anything."""
    found = counted(tmp_path, [])
    assert (found.rows, found.counts[0].ask, found.counts[0].size) == (0, 0, 0)


def test_a_large_input_is_looked_at_in_part(tmp_path: Path) -> None:
    """Rows are all counted, and what is found of the part holds for the rest: by a tenth or so, and the same each time."""
    texts = [f"text {number % 16_000}" for number in range(24_000)]
    found = counted(tmp_path, rows(texts), kept=2_000, key="id")
    assert (found.rows, found.exact) == (24_000, False)
    assert found.counts[0].ask == pytest.approx(16_000, rel=0.1)
    assert found.counts[0].ask + found.counts[0].alike == 24_000
    assert counted(tmp_path, rows(texts), kept=2_000, key="id") == found


def test_an_input_whose_length_nobody_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at halves as it grows, and no more is kept than is to be."""
    kept = []
    halve = module._Counter._halve

    def watched(counter: module._Counter) -> None:
        kept.append(len(counter._kept))
        halve(counter)

    monkeypatch.setattr(module._Counter, "_halve", watched)
    monkeypatch.setattr("llmx.records.source.RecordSource.total", lambda source: None)
    found = counted(tmp_path, rows([f"text {number}" for number in range(10_000)]), kept=1_000)
    assert found.counts[0].ask == 10_000
    assert max(kept) <= 1_001
    assert len(kept) >= 3


def test_the_first_request_is_the_first_rows(tmp_path: Path) -> None:
    """Even of an input that is looked at in part, if the row makes one."""
    texts = [f"text {number}" for number in range(3_000)]
    for lines in (rows(texts), ['{"_none": 1}', "nonsense", *rows(texts)]):
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(f"{line}\n" for line in lines))
        settings = Settings.of({"inputs": [str(file)], "schema": "name str", "model": "openai/gpt-5-mini"})
        env = Environment(variables={"LLMX_HOME": str(tmp_path / "home")}, cwd=tmp_path)

        async def first(settings: Settings = settings, env: Environment = env) -> str:
            planned = plan(settings, env)
            async with candidates(planned, planned.settings.model, Quiet(print)) as models:
                await census(planned, models, kept=100)
                assert models[0].first is not None
                return models[0].first.row

        assert "text 0" in asyncio.run(first()).split("\x1e")


PROGRAM = """
import asyncio, sys
from pathlib import Path
from llmx.connecting import Quiet
from llmx.environment import Environment
from llmx.estimates.candidates import candidates
from llmx.estimates.census import census
from llmx.planning import plan
from llmx.settings import Settings

async def main(path):
    env = Environment(variables={"LLMX_HOME": str(path.parent / "home")}, cwd=path.parent)
    planned = plan(Settings.of({"inputs": [str(path)], "schema": "name str", "model": "openai/gpt-5-mini"}), env)
    async with candidates(planned, planned.settings.model, Quiet(print)) as models:
        found = await census(planned, models, choose=10, kept=20_000)
    assert found.rows == sum(1 for _ in path.open())

asyncio.run(main(Path(sys.argv[1])))
"""


def test_memory_does_not_grow_with_the_input(tmp_path: Path) -> None:
    """Once as many different rows were met as are kept, twelve times the rows cost at most 10 MB more."""
    few, many = (write(tmp_path, count) for count in (20_000, 240_000))
    assert peak_kib(PROGRAM, many) - peak_kib(PROGRAM, few) < 10_000


def write(folder: Path, count: int) -> Path:
    path = folder / f"{count}.jsonl"
    path.write_text("".join(f'{{"text":"some text that fills row {number}"}}\n' for number in range(count)))
    return path


def test_rows_for_a_probe(tmp_path: Path) -> None:
    """So many, spread over the input, none of them twice."""
    found = counted(tmp_path, rows([f"text {number}" for number in range(1_000)]), choose=5)
    places = [record.index for record in found.chosen[0]]
    assert len(places) == 5
    assert places == sorted(set(places))
    assert places[-1] - places[0] > 500


@given(st.integers(1, 40), st.integers(0, 3_000))
def test_a_spread(most: int, count: int) -> None:
    """Its rows are as many as wanted, in order, and no gap between two is thrice the even one."""
    spread = Spread[int](most)
    for number in range(count):
        spread.offer(number)
    chosen = spread.chosen()
    assert len(chosen) == min(most, count)
    assert chosen == sorted(set(chosen))
    gaps = [later - earlier for earlier, later in pairwise(chosen)]
    assert max(gaps, default=0) <= 3 * max(1, count / most)


def test_nothing_is_chosen_where_nothing_is_wanted() -> None:
    """A plan without a probe keeps no row."""
    spread = Spread[int](0)
    spread.offer(1)
    assert spread.chosen() == []
