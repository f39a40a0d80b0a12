"""A run's state on disk: locked before anything is spent, noted when it begins and when it ends."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import os
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fakes import FakeClock, a_request, an_answer
from msgspec.structs import replace
from rehearsal import some_rows, write_rows

from llmx._version import __version__
from llmx.environment import Environment
from llmx.errors import Interrupted, OutputFailed, Stopped, UsageError
from llmx.journal import Manifest, read_manifest
from llmx.layers.stop import Stop
from llmx.planning import plan
from llmx.providers import Endpoint
from llmx.report.summary import Figures
from llmx.settings import Settings
from llmx.spending import Risk, Spent
from llmx.state import CONFIG, NoState, State, open_state
from llmx.system import System, installed
from llmx.types import Outcome, Record, Usage

F = "f" * 64


def options(folder: Path, **given: Any) -> tuple[Settings, Environment]:
    folder.mkdir(exist_ok=True)
    if not (folder / "in.jsonl").exists():
        write_rows(folder / "in.jsonl", some_rows(3))
    base = {"inputs": ["in.jsonl"], "schema": "name, age int", "model": "openai/m", "output": "out.jsonl"}
    variables = {"LLMX_HOME": str(folder / "home")}
    env = Environment(io.BytesIO(), io.BytesIO(), io.StringIO(), variables, folder)
    return Settings.of({**base, **given}), env


def opened(folder: Path, stop: Stop | None = None, **given: Any) -> State:
    state = open_state(plan(*options(folder, **given)), stop or Stop())
    assert isinstance(state, State)
    for _ in state.journal.catching_up():
        pass
    return state


def an_endpoint(**fields: Any) -> Endpoint:
    """What a state looks at of an endpoint."""
    base = {
        "id": "openai http://x",
        "model": "m",
        "mode": "tools",
        "label": "openai/m",
        "prices": None,
        "price": lambda model, usage: None,
        "base_url": "http://x",
        "given": "http://x",
    }
    return cast(Endpoint, SimpleNamespace(**{**base, **fields}))


def begun(folder: Path, endpoint: Endpoint | None = None, **given: Any) -> State:
    state = opened(folder, **given)
    state.identify([endpoint or an_endpoint()], "openai/m")
    state.begin()
    return state


def ended(
    state: State, *, complete: bool = True, exit_code: int = 0, stop: Stop | None = None, failed: int = 1
) -> Manifest:
    """The manifest of a run that has ended."""
    figures = Figures(FakeClock(), total=3, ok=2, failed=failed, calls=4)
    state.end(figures, stop or Stop(), written=2, complete=complete, exit_code=exit_code)
    state.close()
    return manifest(state)


def manifest(state: State) -> Manifest:
    read = read_manifest(state.folder.manifest)
    assert read is not None
    return read


def hashes(folder: Path, endpoint: Endpoint | None = None, **given: Any) -> dict[str, str]:
    state = begun(folder, endpoint, **given)
    state.close()
    return manifest(state).hashes


# Opened


def test_a_second_run_is_refused(tmp_path: Path):
    """Before anything is spent, by whose it is."""
    first = opened(tmp_path)
    with pytest.raises(UsageError, match=rf"^another run \(pid {os.getpid()}\) is writing 'out\.jsonl'$"):
        opened(tmp_path)
    first.close()


def test_a_run_that_never_began_leaves_nothing(tmp_path: Path):
    """As one whose key is missing."""
    opened(tmp_path).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl"]


def test_a_run_that_never_began_leaves_the_one_before(tmp_path: Path):
    """Its answers are not that one's to throw away."""
    first = begun(tmp_path)
    first.journal.keep(a_request(F), an_answer("Ada"))
    before = ended(first)
    opened(tmp_path).close()
    after = opened(tmp_path)
    assert (after.earlier, after.journal.holds(F)) == (before, True)
    after.close()


def test_nothing_is_kept_with_no_store(tmp_path: Path):
    """Neither folder nor file; what would be written goes nowhere."""
    state = open_state(plan(*options(tmp_path, no_store=True)), Stop())
    assert isinstance(state, NoState)
    state.end(Figures(FakeClock()), Stop(), written=0, complete=True, exit_code=0)
    state.close()
    assert (state.errors, sorted(path.name for path in tmp_path.iterdir())) == (None, ["in.jsonl"])


def test_fresh_begins_anew(tmp_path: Path):
    """What there was is set aside, when the run begins and not before: until then it may still fail for nothing."""
    first = begun(tmp_path)
    first.journal.keep(a_request(F), an_answer("Ada"))
    ended(first)
    state = opened(tmp_path, fresh=True)
    before = state.folder.journal.read_bytes()
    assert (state.earlier, state.journal.totals.answers) == (None, 0)
    state.identify([an_endpoint()], "openai/m")
    state.begin()
    assert not state.journal.holds(F)
    assert (state.folder.path / "journal.old.jsonl").read_bytes() == before
    state.close()


def test_fresh_without_a_beginning_loses_nothing(tmp_path: Path):
    """As when the key is missing."""
    first = begun(tmp_path)
    first.journal.keep(a_request(F), an_answer("Ada"))
    ended(first)
    opened(tmp_path, fresh=True).close()
    again = opened(tmp_path)
    assert again.journal.holds(F)
    again.close()


def test_a_folder_that_cannot_be_written(tmp_path: Path):
    """Said at once, with what else can be done."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFailed) as caught:
        opened(tmp_path, state_dir="file")
    where = tmp_path / "file" / "out.jsonl"
    assert str(caught.value) == f"cannot keep the run in {str(where)!r}: {os.strerror(errno.ENOTDIR)}"


# Where


def test_the_run_of_a_file_is_beside_it(tmp_path: Path):
    """Or where `--state-dir` says, from where the command was given."""
    for given, place in (({}, ".llmx/out.jsonl"), ({"state_dir": "s/t"}, "s/t/out.jsonl")):
        state = opened(tmp_path, **given)
        assert state.folder.path == tmp_path / place
        state.close()


def test_the_run_of_standard_output_is_at_home(tmp_path: Path):
    """Or under `--state-dir`; its failed rows have their place there, too."""
    for given, place in (({}, "home/runs"), ({"state_dir": "s"}, "s")):
        state = opened(tmp_path, output="-", **given)
        assert state.folder.path.parent == tmp_path / place
        assert state.errors == state.folder.path / "errors.jsonl"
        state.close()


def left_off(folder: Path, exit_code: int = 130, *, failed: int = 1, **given: Any) -> Path:
    """A run of standard output that has ended; its folder, under a name of the past."""
    state = begun(folder, **{"output": "-", **given})
    ended(state, complete=exit_code in (0, 3), exit_code=exit_code, failed=failed)
    past = state.folder.path.with_name("20200101-000000-1")
    return state.folder.path.rename(past)


@pytest.mark.parametrize("exit_code", [130, 1, 3, 7])
def test_standard_output_goes_on_where_the_same_command_has_left_off(tmp_path: Path, exit_code: int):
    """When something was left to do, failed rows for instance."""
    past = left_off(tmp_path, exit_code)
    state = opened(tmp_path, output="-")
    assert state.folder.path == past
    state.close()


def piped(folder: Path, rows: bytes) -> State:
    """A run of standard input, to standard output."""
    settings, env = options(folder, inputs=["-"], output="-")
    state = open_state(plan(settings, replace(env, stdin=io.BytesIO(rows))), Stop())
    assert isinstance(state, State)
    return state


def test_a_pipe_is_known_by_its_first_row(tmp_path: Path):
    """The same command on other rows is another run, whose failed rows must not take the place of these."""
    first = piped(tmp_path, b'{"id": 1}\n{"id": 2}\n')
    first.identify([an_endpoint()], "openai/m")
    first.begin()
    ended(first, complete=True, exit_code=3)
    past = first.folder.path.rename(first.folder.path.with_name("20200101-000000-1"))
    same = piped(tmp_path, b'{"id": 1}\n')
    assert same.folder.path == past
    same.close()
    different = piped(tmp_path, b'{"id": 9}\n')
    assert different.earlier is None
    different.close()


def test_a_command_that_was_killed_goes_on(tmp_path: Path):
    """It did not get to say how it ended."""
    state = begun(tmp_path, output="-")
    state.close()
    again = opened(tmp_path, output="-")
    assert again.folder == state.folder
    again.close()


@pytest.mark.parametrize(
    "changed",
    [{"rpm": 60}, {"concurrency": 2}, {"timeout": 7}, {"offline": True}, {"keep": "none"}, {"reasks": 9}],
)
def test_what_asks_the_same_is_no_other_command(tmp_path: Path, changed: dict[str, Any]):
    """It goes on, faster or slower, or in another shape."""
    past = left_off(tmp_path)
    state = opened(tmp_path, output="-", **changed)
    assert state.folder.path == past
    state.close()


@pytest.mark.parametrize("changed", [{"limit": 1}, {"schema": "name str"}, {"fresh": True}])
def test_another_command_has_another_run(tmp_path: Path, changed: dict[str, Any]):
    """So has one that is to start over."""
    past = left_off(tmp_path)
    state = opened(tmp_path, output="-", **changed)
    assert state.folder.path != past
    state.close()


def test_a_command_that_is_done_is_not_gone_on_with(tmp_path: Path):
    """Its rows are all out: another time is another run."""
    past = left_off(tmp_path, 0, failed=0)
    state = opened(tmp_path, output="-")
    assert state.folder.path != past
    state.close()


def test_failed_rows_are_something_to_do(tmp_path: Path):
    """However many `--max-failures` forgives: what they cost is in the journal."""
    past = left_off(tmp_path, 0)
    state = opened(tmp_path, output="-")
    assert state.folder.path == past
    state.close()


def test_a_command_that_is_going_on_is_left_alone(tmp_path: Path):
    """Two of the same at a time are two runs."""
    past = left_off(tmp_path)
    first = opened(tmp_path, output="-")
    second = opened(tmp_path, output="-")
    assert (first.folder.path == past, second.folder.path != past) == (True, True)
    second.close()
    first.close()


def test_old_runs_of_standard_output_are_forgotten(tmp_path: Path):
    """Whenever a run begins."""
    past = left_off(tmp_path, 0)
    for path in (*past.iterdir(), past):
        os.utime(path, (0, 0))
    opened(tmp_path).close()
    assert not past.exists()


# Begun and ended


def test_a_run_that_has_begun_says_so(tmp_path: Path):
    """A process that is killed leaves what it was asked, and that it was running."""
    state = begun(tmp_path, limit=2)
    said = manifest(state)
    assert (said.state, said.pid, said.llmx, said.exit_code) == ("running", os.getpid(), __version__, None)
    assert (said.cwd, said.output, said.model, said.sessions) == (str(tmp_path), "out.jsonl", "openai/m", 1)
    assert said.command == {
        "inputs": ["in.jsonl"],
        "schema": "name, age int",
        "model": ["openai/m"],
        "output": "out.jsonl",
        "limit": 2,
    }
    assert said.selection == {"limit": 2, "sample": None, "seed": 0, "key": None, "first": None}
    assert said.hashes.keys() == set(CONFIG)
    state.close()


def test_the_input_is_noted(tmp_path: Path):
    """Where it was, how large, and a digest of it."""
    (noted,) = ended(begun(tmp_path)).inputs
    data = (tmp_path / "in.jsonl").read_bytes()
    assert (noted.path, noted.size) == (str(tmp_path / "in.jsonl"), len(data))
    assert noted.sha256 == hashlib.sha256(data).hexdigest()


def test_standard_input_is_noted_as_such(tmp_path: Path):
    """Nothing is known of it beforehand."""
    state = begun(tmp_path, inputs=["-"])
    (noted,) = manifest(state).inputs
    assert (noted.path, noted.size, noted.sha256) == ("-", None, None)
    state.close()


def test_a_run_that_is_complete(tmp_path: Path):
    """Counts, calls, what it all cost, and when."""
    state = begun(tmp_path)
    state.journal.keep(a_request(F), an_answer(tokens=10))
    said = ended(state, exit_code=3)
    assert (said.state, said.exit_code, said.reason, said.pid) == ("complete", 3, None, None)
    assert said.rows == {
        "settled": 3,
        "total": 3,
        "ok": 2,
        "failed": 1,
        "cached": 0,
        "coalesced": 0,
        "semantic": 0,
        "resumed": 0,
        "written": 2,
    }
    assert (said.calls, said.answers, said.usage, said.cost) == (4, 1, {"input": 10, "output": 1}, "0.01")
    assert said.ended is not None
    assert said.started <= said.ended
    assert "prices" in said.hashes


def test_a_run_that_was_stopped(tmp_path: Path):
    """Why, and with which exit code."""
    stop = Stop()
    stop.set(Interrupted(2))
    said = ended(begun(tmp_path), complete=False, exit_code=130, stop=stop)
    assert (said.state, said.exit_code, said.reason) == ("stopped", 130, "interrupted")


def test_sessions_add_up(tmp_path: Path):
    """Answers and money are of all of them, rows of the last."""
    for n in range(3):
        state = begun(tmp_path)
        state.journal.keep(a_request(f"{n}" * 64), an_answer(tokens=10))
        said = ended(state)
    assert (said.sessions, said.answers, said.usage["input"], said.cost) == (3, 3, 30, "0.03")
    assert said.rows["settled"] == 3


def test_what_it_was_before(tmp_path: Path):
    """A session knows the manifest of the one before it, and no other."""
    first = begun(tmp_path)
    assert first.earlier is None
    said = ended(first)
    second = opened(tmp_path)
    assert second.earlier == said
    second.close()


def test_a_manifest_that_cannot_be_written_stops_the_run(tmp_path: Path):
    """At its beginning before the first call, at its end with exit code 1."""

    class Full(System):
        def replace(self, source: Path, target: Path) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    state = opened(tmp_path)
    state.identify([an_endpoint()], "openai/m")
    message = f"cannot keep the run in {str(state.folder.path)!r}: {os.strerror(errno.ENOSPC)}"
    with installed(Full()):
        with pytest.raises(OutputFailed) as caught:
            state.begin()
        stop = Stop()
        state.end(Figures(FakeClock()), stop, written=0, complete=True, exit_code=0)
    state.close()
    assert (str(caught.value), str(stop.reason)) == (message, message)


def test_a_disk_that_fails_throws_the_stop(tmp_path: Path):
    """No further call is made once an answer could not be kept."""

    class Broken(System):
        def write(self, file: int, data: bytes | memoryview) -> int:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    stop = Stop()
    state = opened(tmp_path, stop)
    with installed(Broken()):
        state.journal.keep(a_request(F), an_answer())
    assert isinstance(stop.reason, OutputFailed)
    state.close()


# What makes a question


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"schema": "name, age int, city"}, "schema"),
        ({"schema": "name, age int: in years"}, "schema"),
        ({"prompt": "{{ text }}"}, "prompt"),
        ({"system": "Be brief."}, "prompt"),
        ({"input": "text"}, "prompt"),
        ({"prompt": "{{ row }}", "input": "text"}, "prompt"),
        ({"temperature": 0.5}, "params"),
    ],
    ids=lambda value: str(value),
)
def test_what_makes_another_question(tmp_path: Path, changed: dict[str, Any], name: str):
    """One hash is another, and the others are as they were."""
    before, after = hashes(tmp_path), hashes(tmp_path, **changed)
    assert {key for key in before if before[key] != after[key]} == {name}


@pytest.mark.parametrize(
    ("changed", "name"),
    [({"id": "openai http://y"}, "server"), ({"model": "n"}, "model"), ({"mode": "json"}, "params")],
    ids=lambda value: str(value),
)
def test_another_endpoint_is_another_question(tmp_path: Path, changed: dict[str, Any], name: str):
    """Its address counts."""
    before, after = hashes(tmp_path), hashes(tmp_path, an_endpoint(**changed))
    assert {key for key in before if before[key] != after[key]} == {name}


@pytest.mark.parametrize(
    "changed",
    [
        {"rpm": 60},
        {"reasks": 0},
        {"max_output_tokens": 7},
        {"keep": "none"},
        {"limit": 1},
        {"order": "done"},
        {"key_file": "k"},
    ],
    ids=lambda value: str(value),
)
def test_what_makes_no_other_question(tmp_path: Path, changed: dict[str, Any]):
    """Pacing, caps, and what becomes of the answers."""
    assert hashes(tmp_path) == hashes(tmp_path, **changed)


async def test_what_has_changed_is_named(tmp_path: Path):
    """Hashes by their names, the input by its content."""
    ended(begun(tmp_path))
    write_rows(tmp_path / "in.jsonl", some_rows(4))
    second = begun(tmp_path, schema="name str")
    assert await second.changed(Stop()) == ["schema", "input"]
    second.close()


def test_rows_done_under_another_question_are_not_done(tmp_path: Path):
    """The config that rows are counted under is made of the question's hashes."""
    first = begun(tmp_path)
    first.journal.settle(Outcome(Record(0, {"id": 0}), value=1, attempts=1))
    assert first.journal.done(first.config) == 1
    ended(first)
    second = begun(tmp_path, schema="name str")
    assert second.journal.done(second.config) == 0
    second.close()


async def test_a_long_journal_is_read_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A signal ends it, what was read is kept, and the next run goes on there; the person is told once."""
    monkeypatch.setattr("llmx.journal.index.BATCH", 10)
    first = begun(tmp_path)
    for n in range(100):
        first.journal.settle(Outcome(Record(n, {"id": n}), value=1, attempts=1))
    first.close()
    first.folder.index.unlink()
    said: list[str] = []
    stop = Stop(lambda reason: said.append(str(reason)))
    second = open_state(plan(*options(tmp_path)), stop)
    asyncio.get_running_loop().call_soon(stop.set, Interrupted(2))
    with pytest.raises(Stopped):
        await second.catch_up(stop, said.append)
    assert said == ["reading the journal of the run, whose index is not there or not complete", "interrupted"]
    second.close()
    third = open_state(plan(*options(tmp_path)), Stop())
    await third.catch_up(Stop(), said.append)
    assert isinstance(third, State)
    assert third.journal.rows() == 100
    third.close()


# Several endpoints


FIRST: dict[str, Any] = {"id": "openai http://x"}
SECOND: dict[str, Any] = {"id": "anthropic http://y", "model": "n", "given": "http://y"}


def a_chain(*chain: dict[str, Any]) -> list[Endpoint]:
    return [an_endpoint(**fields) for fields in chain]


def hashes_of(folder: Path, endpoints: list[Endpoint]) -> dict[str, str]:
    state = opened(folder)
    state.identify(endpoints, "a label")
    state.close()
    return state.manifest.hashes


@pytest.mark.parametrize(
    ("chain", "changed"),
    [
        ([FIRST, FIRST], set()),
        ([FIRST, SECOND], {"model", "server"}),
        ([SECOND, FIRST], {"model", "server"}),
    ],
    ids=["a second key", "another behind it", "another before it"],
)
def test_a_chain_is_what_its_endpoints_are(tmp_path: Path, chain: list[dict[str, Any]], changed: set[str]):
    """A second key for the same model asks no other question; another model may."""
    alone, all_of_them = hashes_of(tmp_path, a_chain(FIRST)), hashes_of(tmp_path, a_chain(*chain))
    assert {name for name in alone if alone[name] != all_of_them[name]} == changed


def test_the_order_of_a_chain_counts(tmp_path: Path):
    """The first is asked, the second only when it is down."""
    one, other = a_chain(FIRST, SECOND), a_chain(SECOND, FIRST)
    assert hashes_of(tmp_path, one)["server"] != hashes_of(tmp_path, other)["server"]


@pytest.mark.parametrize(
    ("chain", "server"),
    [([FIRST, {**FIRST, "model": "n"}], "http://x"), ([FIRST, SECOND], None)],
    ids=["one", "two"],
)
def test_the_address_of_a_chain(tmp_path: Path, chain: list[dict[str, Any]], server: str | None):
    """It is noted where all have the same; its label is the chain's."""
    state = opened(tmp_path)
    state.identify(a_chain(*chain), "fast → slow")
    assert (state.manifest.server, state.manifest.model) == (server, "fast → slow")
    state.close()


# What counts against a cap


def test_nothing_is_spent_at_first(tmp_path: Path):
    """Of an output that no session has written."""
    state = opened(tmp_path)
    assert state.spent([an_endpoint()]) == Spent(Decimal(0), 0)
    state.close()


def test_what_earlier_sessions_have_spent(tmp_path: Path):
    """Answers, and what calls may have cost that had none when the process was killed."""
    first = begun(tmp_path)
    first.journal.keep(a_request(F), an_answer("Ada"))
    first.outstanding(Risk(Decimal("0.5"), 700))
    first.close()
    second = opened(tmp_path)
    assert second.spent([an_endpoint()]) == Spent(Decimal("0.51"), 703, Decimal("0.5"), 700)
    second.identify([an_endpoint()], "openai/m")
    second.begin()
    second.outstanding(Risk(Decimal("0.25"), 100))
    second.outstanding(Risk())
    second.close()
    third = opened(tmp_path)
    assert third.spent([an_endpoint()]) == Spent(Decimal("0.51"), 703, Decimal("0.5"), 700)
    third.close()


def test_what_no_price_was_looked_up_for_costs_the_most_it_may(tmp_path: Path):
    """A session without a cap in dollars has noted tokens alone: all of them are taken for what is dearest."""
    first = begun(tmp_path)
    first.outstanding(Risk(tokens=700, unpriced=700))
    first.close()
    second = opened(tmp_path)
    prices = [
        an_endpoint(price=lambda model, usage: Decimal(usage.output_tokens)),
        an_endpoint(price=lambda model, usage: Decimal(2 * usage.output_tokens)),
        an_endpoint(price=lambda model, usage: None),
    ]
    assert second.spent(prices).unanswered_cost == Decimal(1400)
    dear_prompts = an_endpoint(price=lambda model, usage: Decimal(3 * usage.input_tokens))
    assert second.spent([*prices, dear_prompts]).unanswered_cost == Decimal(2100)
    second.close()


def test_answers_that_could_not_be_kept_were_paid_for(tmp_path: Path):
    """The journal does not have them: what they used is noted beside it."""
    first = begun(tmp_path)
    first.journal.unkept += Usage(5, 2, cost=Decimal("0.1"))
    first.outstanding(Risk())
    first.close()
    second = opened(tmp_path)
    assert second.spent([an_endpoint()]) == Spent(Decimal("0.1"), 7, Decimal("0.1"), 7)
    second.close()


@pytest.mark.parametrize(
    ("prices", "cost"), [([1, 3], Decimal(9)), ([1, None], None)], ids=["the dearest", "unknown"]
)
def test_answers_without_a_price(tmp_path: Path, prices: list[int | None], cost: Decimal | None):
    """They cost what they would today, at the endpoint that asks most."""
    first = begun(tmp_path)
    first.journal.keep(a_request(F), replace(an_answer("Ada"), usage=Usage(2, 1, cost=None)))
    first.close()

    def priced(price: int | None) -> Endpoint:
        def of(model: str, usage: Usage) -> Decimal | None:
            return None if price is None else Decimal(price * usage.total_tokens)

        return an_endpoint(price=of)

    state = opened(tmp_path)
    assert state.spent([priced(price) for price in prices]) == Spent(cost, 3)
    state.close()
