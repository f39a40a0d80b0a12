"""`--cache semantic` as a user has it: the option, a killed run, two runs at once, `llmx cache audit`, stats and clear."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from commands import Llmx, Mock, wait_for
from rehearsal import write_rows

from llmx.mock import Latency, MockSettings

KEYED = {"OPENAI_API_KEY": "sk-x"}
RUN = ("extract", "--schema", "tone good|bad|neutral", "--key", "id", "--cache", "semantic")


def reviews(count: int, greeting: str = "") -> list[dict[str, Any]]:
    return [{"id": n, "text": f"{greeting}the room {n} in Rome was small but clean"} for n in range(count)]


def run(llmx: Llmx, mock: Mock, rows: list[dict[str, Any]], *options: str, name: str = "rows") -> Any:
    write_rows(llmx.cwd / f"{name}.jsonl", rows)
    return llmx(*RUN, f"{name}.jsonl", *mock.openai, *options, **KEYED)


@pytest.fixture
def hits(llmx: Llmx, mock: Mock) -> Mock:
    """Ten rows that were asked about, and ten that say the same."""
    assert run(llmx, mock, reviews(10)).code == 0
    second = run(llmx, mock, reviews(10, "Hello, "), name="more")
    assert "10 rows: 10 ok (10 semantic), 0 failed" in second.err
    assert mock.calls == 10
    return mock


@pytest.mark.parametrize("cache", ["exact", "off"])
def test_a_threshold_needs_the_semantic_cache(llmx: Llmx, mock: Mock, cache: str) -> None:
    """It would be without effect."""
    write_rows(llmx.cwd / "rows.jsonl", reviews(1))
    done = llmx(*RUN, "rows.jsonl", *mock.openai, "--cache", cache, "--similarity", "0.9", **KEYED)
    assert (done.code, mock.calls) == (2, 0)
    assert "--similarity has no effect without --cache semantic" in done.err


@pytest.mark.parametrize("given", ["1.01", "-1", "high"])
def test_a_threshold_is_from_0_to_1(llmx: Llmx, mock: Mock, given: str) -> None:
    """Anything else is refused by name."""
    write_rows(llmx.cwd / "rows.jsonl", reviews(1))
    done = llmx(*RUN, "rows.jsonl", *mock.openai, f"--similarity={given}", **KEYED)
    assert (done.code, mock.calls) == (2, 0)
    assert f"--similarity '{given}'" in done.err


def test_stats_and_clear_know_it(llmx: Llmx, hits: Mock) -> None:
    """Answers, and hits that can be audited; then neither."""
    assert llmx("cache", "stats").out.splitlines()[1] == "semantic: 10 answers, 10 hits that can be audited"
    assert "semantic: 10 answers removed" in llmx("cache", "clear").err
    assert llmx("cache", "stats").out.splitlines()[1] == "semantic: 0 answers, 0 hits that can be audited"
    run(llmx, hits, reviews(10, "Hi, "), "--fresh", name="more")
    assert hits.calls == 20


def test_a_killed_run_goes_on(llmx: Llmx, provider: Callable[[MockSettings], Mock]) -> None:
    """What was answered before is not paid for again, by the row itself or by one that says the same."""
    mock = provider(MockSettings(latency=Latency(0.05, 0.05)))
    rows = [{**row, "id": n} for n, row in enumerate([*reviews(60), *reviews(60, "Hello, ")])]
    write_rows(llmx.cwd / "rows.jsonl", rows)
    command = (*RUN, "rows.jsonl", *mock.openai, "-o", "out.jsonl", "-c", "2")
    running, _, _ = llmx.piped(*command, **KEYED)
    wait_for(lambda: mock.calls >= 20)
    running.signal(signal.SIGKILL)
    running.wait()
    wait_for(lambda: mock.server.stats()["in_flight"] == 0)
    again = llmx(*command, **KEYED)
    assert again.code == 0
    answers = [json.loads(line) for line in (llmx.cwd / "out.jsonl").read_text().splitlines()]
    assert [row["id"] for row in answers] == list(range(120))
    assert mock.calls <= 60 + 2  # those in flight when it was killed
    assert "60 semantic" in again.err


def test_two_runs_at_once_share_it(llmx: Llmx, mock: Mock) -> None:
    """Neither is in the other's way, and a third has the answers of both."""
    for name, start in (("a", 0), ("b", 100)):
        write_rows(
            llmx.cwd / f"{name}.jsonl",
            [
                {**row, "id": start + row["id"], "text": row["text"].replace("room", f"room {name}")}
                for row in reviews(40)
            ],
        )
    started = [
        llmx.piped(*RUN, f"{name}.jsonl", *mock.openai, "-o", f"{name}.out.jsonl", **KEYED)[0]
        for name in "ab"
    ]
    assert [running.wait() for running in started] == [0, 0]
    both = [
        json.loads(line) for name in "ab" for line in (llmx.cwd / f"{name}.jsonl").read_text().splitlines()
    ]
    third = run(llmx, mock, [{**row, "text": row["text"] + "!"} for row in both], name="c")
    assert "80 ok (80 semantic)" in third.err
    assert mock.calls == 80


def audit(llmx: Llmx, *options: str) -> tuple[int, Mapping[str, Any], str]:
    done = llmx("cache", "audit", "--json", *options, **KEYED)
    return done.code, json.loads(done.out) if done.out else {}, done.err


def test_an_audit_asks_again(llmx: Llmx, hits: Mock) -> None:
    """The mock answers by the row's text, so that some differ; they are told by field, with an interval."""
    code, found, _ = audit(llmx, "--sample", "8")
    assert (code, found["kept"], found["audited"], found["failed"], found["outdated"]) == (0, 10, 8, 0, 0)
    assert hits.calls == 18
    assert (
        found["different"]
        == len(found["differences"])
        == found["fields"].get("tone", {"different": 0})["different"]
    )
    low, high = found["ci95"]
    assert 0 <= low <= found["share"] <= high <= 1
    for one in found["differences"]:
        assert one["given"]["tone"] != one["asked"]["tone"]
        assert one["row"]["text"].startswith("Hello, ")


def test_an_audit_pays_once(llmx: Llmx, hits: Mock) -> None:
    """Its answers are in the exact cache: the same again costs nothing."""
    first = audit(llmx)[1]
    second = audit(llmx)[1]
    assert hits.calls == 20
    assert first["differences"] == second["differences"]


def test_an_audit_has_a_limit(llmx: Llmx, hits: Mock) -> None:
    """Exit code 6 above it."""
    code, found, err = audit(llmx, "--max-different", "0%")
    assert found["different"]
    assert code == 6
    assert "were answered otherwise" in err
    assert audit(llmx, "--max-different", "100%")[0] == 0


def test_an_audit_that_agrees(llmx: Llmx, provider: Callable[[MockSettings], Mock]) -> None:
    """Where the model says the same about rows that say the same, nothing differs."""
    mock = provider(MockSettings())
    schema = {"type": "object", "properties": {"kind": {"enum": ["review"]}}, "required": ["kind"]}
    (llmx.cwd / "kind.json").write_text(json.dumps(schema))
    one = ("--schema", "kind.json")
    write_rows(llmx.cwd / "a.jsonl", reviews(5))
    write_rows(llmx.cwd / "b.jsonl", reviews(5, "Hi, "))
    for name in "ab":
        llmx(
            "extract", f"{name}.jsonl", *one, "--cache", "semantic", *mock.openai, "--input", "text", **KEYED
        )
    done = llmx("cache", "audit", "--max-different", "1%", **KEYED)
    assert (done.code, done.out) == (
        0,
        "5 of 5 semantic hits audited: 0 answered otherwise (0.0%; 95 % confidence: 0.0% to 43.4%)\n",
    )


def test_an_audit_is_an_ordinary_run(llmx: Llmx, hits: Mock) -> None:
    """With limits of its own, checked before the first call."""
    code, _, err = audit(llmx, "--max-cost", "1")
    assert (code, hits.calls) == (2, 10)
    assert "the price of openai/mock" in err
    assert audit(llmx, "--max-tokens", "5500")[0] == 5
    assert 10 < hits.calls < 20


def test_a_changed_question_is_not_audited(llmx: Llmx, mock: Mock) -> None:
    """The prompt's file is another one: what would be asked now is no check of what was answered then."""
    prompt = llmx.cwd / "prompt.txt"
    prompt.write_text("Tone of: {{ text }}")
    run(llmx, mock, reviews(3), "-p", "@prompt.txt")
    run(llmx, mock, reviews(3, "Hello, "), "-p", "@prompt.txt", name="more")
    prompt.write_text("The tone of: {{ text }}")
    assert audit(llmx)[1] | {"differences": []} == {
        **{"kept": 3, "audited": 0, "failed": 0, "outdated": 3, "different": 0, "share": None},
        **{"ci95": [None, None], "fields": {}, "cost": 0.0, "differences": []},
    }
    prompt.unlink()
    _, found, err = audit(llmx)
    assert found["outdated"] == 3
    assert "3 hits cannot be asked about again" in err
    assert mock.calls == 3


def test_a_folder_that_is_gone_is_told(llmx: Llmx, mock: Mock) -> None:
    """Its command cannot be given again."""
    other = llmx.cwd / "project"
    other.mkdir()
    for name, greeting in (("a", ""), ("b", "Hello, ")):
        write_rows(other / f"{name}.jsonl", reviews(2, greeting))
        llmx(*RUN, f"{name}.jsonl", *mock.openai, cwd=other, **KEYED)
    shutil.rmtree(other)
    _, found, err = audit(llmx)
    assert found["outdated"] == 2
    assert "is not there any more" in err


@pytest.mark.parametrize("given", ["1", "101%", "-1%", "x%"])
def test_a_limit_is_a_percentage(llmx: Llmx, given: str) -> None:
    """Before anything is read."""
    done = llmx("cache", "audit", f"--max-different={given}")
    assert done.code == 2
    assert f"--max-different: {given!r} is no percentage" in done.err


def test_there_may_be_nothing_to_audit(llmx: Llmx) -> None:
    """Which is said, and no failure."""
    done = llmx("cache", "audit", "--max-different", "1%")
    assert (done.code, done.out) == (0, "none of 0 semantic hits audited\n")


def test_a_damaged_store_is_no_reason_to_stop(llmx: Llmx, hits: Mock) -> None:
    """It is set aside with a warning, and all rows are asked about."""
    file = Path(llmx.env["LLMX_HOME"], "semantic", "answers.sqlite")
    file.write_bytes(b"?" * 5_000)
    done = run(llmx, hits, reviews(10, "Good morning, "), name="again")
    assert (done.code, hits.calls) == (0, 20)
    assert "is damaged; it is kept as answers.sqlite.damaged" in done.err
