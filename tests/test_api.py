"""The library: the same engine over any iterable, without files and without a terminal."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from commands import Mock, mocked
from pydantic import BaseModel
from rehearsal import some_rows

import llmx
from llmx.errors import AuthenticationFailed, InvalidAnswer, UsageError
from llmx.events import RowSettled, RunEnded
from llmx.mock import Latency, MockSettings


class Person(BaseModel):
    """A person in the text."""

    name: str
    age: int


@pytest.fixture
def mock() -> Iterator[Mock]:
    with mocked() as running:
        yield running


def at(mock: Mock) -> dict[str, Any]:
    return {"model": "openai/mock", "base_url": f"{mock.url}/v1"}


def test_a_class_gives_instances(mock: Mock) -> None:
    """`value` is what the user's own class validated."""
    outcomes = llmx.extract(some_rows(3), Person, **at(mock))
    assert [type(outcome.value) for outcome in outcomes] == [Person] * 3


def test_a_schema_may_be_a_spec_or_a_dict(mock: Mock) -> None:
    """Whatever `--schema` takes, and JSON Schema as data."""
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    assert llmx.extract(some_rows(1), "name, age int", **at(mock))[0].value.age is not None
    assert llmx.extract(some_rows(1), schema, **at(mock))[0].value.name


def test_outcomes_are_in_the_rows_order() -> None:
    """One per row, each with its row."""
    with mocked(MockSettings(latency=Latency(0.02, 0.2))) as mock:
        outcomes = llmx.extract(some_rows(30), Person, concurrency=8, **at(mock))
    assert [outcome.record.data["id"] for outcome in outcomes] == list(range(30))


def test_a_row_that_fails_is_an_outcome(mock: Mock) -> None:
    """With its error, its raw answer and its attempts; nothing is raised."""
    with mocked(MockSettings(malformed_rate=1.0)) as broken:
        outcome = llmx.extract(some_rows(1), Person, reasks=1, **at(broken))[0]
    assert isinstance(outcome.error, InvalidAnswer)
    assert (outcome.value, outcome.attempts) == (None, 2)
    assert outcome.raw


def test_what_ends_a_run_is_raised() -> None:
    """A dead key is no row's fault."""
    with mocked(MockSettings(keys=("right",))) as mock, pytest.raises(AuthenticationFailed):
        llmx.extract(some_rows(50), Person, **at(mock))


def test_rows_are_read_lazily(mock: Mock) -> None:
    """An endless input can be taken from."""

    async def first_ten() -> list[Any]:
        rows = ({"id": n} for n in iter(int, 1))
        found = []
        async for outcome in llmx.aextract(rows, Person, **at(mock)):
            found.append(outcome.value)
            if len(found) == 10:
                break
        return found

    assert len(asyncio.run(first_ten())) == 10


async def test_it_can_be_awaited(mock: Mock) -> None:
    """`await` is the list."""
    assert len(await llmx.aextract(some_rows(4), Person, **at(mock))) == 4


async def test_each_use_is_a_run_of_its_own(mock: Mock) -> None:
    """The second finds the first one's answers."""
    extraction = llmx.aextract(some_rows(2), Person, **at(mock))
    await extraction
    assert {outcome.source for outcome in await extraction} == {"cache"}


async def test_rows_that_can_be_read_once_are_used_once(mock: Mock) -> None:
    """Nothing instead of outcomes would look like no rows."""
    extraction = llmx.aextract(iter(some_rows(2)), Person, **at(mock))
    assert len(await extraction) == 2
    with pytest.raises(RuntimeError, match="an iterator, which has been read"):
        await extraction


async def test_slow_rows_hold_up_nobody(mock: Mock) -> None:
    """The first outcome is there before the second row is; meanwhile the loop does other things."""
    go_on = threading.Event()

    def rows() -> Iterator[dict[str, Any]]:
        yield {"text": "Ada, 36"}
        go_on.wait(60)
        yield {"text": "Grace, 45"}

    found = []
    async for outcome in llmx.aextract(rows(), Person, **at(mock)):
        found.append(outcome.ok)
        go_on.set()
    assert found == [True, True]


def test_rows_are_read_by_one_thread(mock: Mock) -> None:
    """What belongs to another thread fails at its first row, before anything is paid."""
    readers = set()

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(150):
            readers.add(threading.get_ident())
            yield {"id": number}

    llmx.extract(rows(), Person, **at(mock))
    assert len(readers) == 1


def test_a_column_may_come_later(mock: Mock) -> None:
    """The first row need not have all that are asked for; that none of a hundred has is an error."""
    rows = [{"a": "Ada"}, {"a": "Grace", "b": "45"}]
    assert len(llmx.extract(rows, Person, input="a,b", **at(mock))) == 2
    with pytest.raises(UsageError, match="no column 'c'; there are a, b"):
        llmx.extract(rows, Person, input="a,c", **at(mock))


async def test_extract_within_a_loop_says_what_to_use() -> None:
    """A notebook has a running loop: the way there is named."""
    with pytest.raises(RuntimeError, match=r"await llmx\.aextract"):
        llmx.extract([], Person, model="openai/x")


def test_a_model_and_a_cascade() -> None:
    """One of them would have no effect."""
    with pytest.raises(UsageError, match="model and cascade exclude each other"):
        llmx.extract([], Person, model="openai/x", cascade=["openai/a", "openai/b"])


def test_no_rows(mock: Mock) -> None:
    """Nothing in, nothing out, nobody called."""
    assert llmx.extract([], Person, **at(mock)) == []
    assert mock.calls == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "x"}, "y"], r"^rows\[1\] is a str, not a mapping of columns to values$"),
        ([{1: "x"}], r"^rows\[0\] has a column whose name is no text: \[1\]$"),
    ],
)
def test_rows_that_are_none_are_refused(rows: Any, message: str, mock: Mock) -> None:
    """The first of them is named."""
    with pytest.raises(UsageError, match=message):
        llmx.extract(rows, Person, **at(mock))


@pytest.mark.parametrize("option", ["output", "limit", "keep", "max_failures"])
def test_options_about_files_are_refused(option: str) -> None:
    """Reading and writing is the caller's."""
    with pytest.raises(UsageError, match=f"'{option}' is about files"):
        llmx.extract([], Person, model="openai/x", **{option: "x"})


def test_a_misspelt_option_is_refused() -> None:
    """With the nearest name."""
    with pytest.raises(UsageError) as caught:
        llmx.extract([], Person, model="openai/x", concurency=3)
    assert "--concurrency" in caught.value.hint


def test_no_model_is_refused() -> None:
    """There is no default here either."""
    with pytest.raises(UsageError, match="no model"):
        llmx.extract(some_rows(1), Person, model="")


@pytest.mark.parametrize(
    ("model", "answered"),
    [("openai/a,b", "a,b"), (["openai/a", "openai/b"], "a"), (("openai/b", "openai/a"), "b")],
    ids=str,
)
def test_several_models_are_a_chain(model: Any, answered: str, mock: Mock) -> None:
    """The first answers while it is up; a text is one name, whatever is in it."""
    outcomes = llmx.extract(some_rows(3), Person, **{**at(mock), "model": model})
    assert [outcome.model for outcome in outcomes] == [answered] * 3
    assert {outcome.endpoint for outcome in outcomes} == {f"openai/{answered}"}


def test_a_gold_column_is_not_sent() -> None:
    """The same rule as on the command line."""
    with mocked(MockSettings(log=True)) as mock:
        llmx.extract([{"text": "x", "gold": "canary"}], Person, **at(mock))
        assert "canary" not in str(mock.server._provider._log.snapshot())


def test_an_observer_is_told(mock: Mock) -> None:
    """Every event of the run, in order."""
    events: list[Any] = []
    llmx.extract(some_rows(3), Person, observer=events.append, **at(mock))
    assert sum(isinstance(event, RowSettled) for event in events) == 3


def test_an_observer_is_told_of_rows_of_the_cache(mock: Mock) -> None:
    """Of each by itself, as of all others."""
    events: list[Any] = []
    for _ in range(2):
        events.clear()
        llmx.extract(some_rows(3), Person, observer=events.append, **at(mock))
    sources = [event.outcome.source for event in events if isinstance(event, RowSettled)]
    assert sources == ["cache"] * 3


def test_an_observer_is_told_of_the_end_whatever_it_is() -> None:
    """A dead key ends a run, and so does whoever stops listening."""
    events: list[Any] = []

    async def first() -> None:
        async with aclosing(
            llmx.aextract(some_rows(9), Person, observer=events.append, **at(mock)).__aiter__()
        ) as found:
            async for _ in found:
                break

    with mocked(MockSettings(keys=("right",))) as mock, pytest.raises(AuthenticationFailed):
        llmx.extract(some_rows(5), Person, observer=events.append, **at(mock))
    with mocked() as mock:
        asyncio.run(first())
    assert [event.complete for event in events if isinstance(event, RunEnded)] == [False, False]


def test_nothing_is_printed(mock: Mock, capfd: pytest.CaptureFixture[str]) -> None:
    """A library is silent."""
    llmx.extract(some_rows(2), Person, **at(mock))
    assert capfd.readouterr() == ("", "")


def test_answers_are_kept_in_the_home(mock: Mock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LLMX_HOME is the library's, too."""
    monkeypatch.setenv("LLMX_HOME", str(tmp_path / "home"))
    llmx.extract(some_rows(2), Person, **at(mock))
    assert (tmp_path / "home" / "cache").is_dir()
