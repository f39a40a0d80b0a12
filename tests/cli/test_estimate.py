"""`llmx estimate`, and the plan of `--dry-run`: against runs whose tokens the simulated provider has counted."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from commands import Llmx, Mock, wait_for
from rehearsal import write_rows

from llmx.mock import Latency, MockSettings

SCHEMA = ("-s", "name, age int, tone good|bad, tags list[str]")
WORDS = "The lamp came late and broken, the second one is fine. Ask Zoë at the desk for order"
GPT = ("-m", "openai/gpt-5-mini")


@pytest.fixture(autouse=True)
def _rows(llmx: Llmx) -> None:
    """`rows.jsonl`: thirty rows, each another."""
    write_rows(
        llmx.cwd / "rows.jsonl", [{"id": n, "text": f"{WORDS} {n}. " * (1 + n % 5)} for n in range(30)]
    )


def planned(llmx: Llmx, *argv: str, inputs: str = "rows.jsonl", **variables: str) -> dict[str, Any]:
    """The plan as a document."""
    done = llmx("estimate", inputs, *SCHEMA, *argv, "--json", **variables)
    assert done.code == 0, done.err
    return json.loads(done.out)


def priced(mock: Mock, model: str = "openai/gpt-5-mini") -> tuple[str, ...]:
    """Options that name the simulated provider, at the model's own price."""
    path = "" if model.startswith("anthropic") else "/v1"
    return ("-m", model, "--base-url", f"{mock.url}{path}", "--max-cost", "1000")


def run(llmx: Llmx, *argv: str) -> dict[str, Any]:
    """A run's summary."""
    keys = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}
    done = llmx("extract", "rows.jsonl", *SCHEMA, *argv, "--summary", "summary.json", **keys)
    assert done.code == 0, done.err
    return json.loads((llmx.cwd / "summary.json").read_text())


def disk(llmx: Llmx) -> dict[str, str]:
    """All files of the commands, their home included, by a digest of what is in them."""
    files = [path for path in llmx.cwd.parent.rglob("*") if path.is_file() and path.parent != llmx.cwd.parent]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize(
    ("model", "mode"),
    [
        ("openai/gpt-5-mini", "json_schema"),
        ("openai/gpt-4o-mini", "tools"),
        ("openai/gpt-4o-mini", "json"),
        ("anthropic/claude-haiku-4-5", "json_schema"),
        ("anthropic/claude-haiku-4-5", "tools"),
        ("anthropic/claude-haiku-4-5", "json"),
    ],
)
def test_a_plan_and_its_run(llmx: Llmx, mock: Mock, model: str, mode: str) -> None:
    """Input tokens within a tenth of what the provider counts, the real cost within the range, and as many calls."""
    options = (*priced(mock, model), "--mode", mode)
    (plan,) = planned(llmx, *options)["models"]
    assert mock.calls == 0
    summary = run(llmx, *options, "-o", "out.jsonl")
    stats = mock.server.stats()
    assert plan["tokens"]["input"] == pytest.approx(stats["input_tokens"], rel=0.1)
    assert plan["calls"] == stats["calls"] == 30
    assert plan["cost"]["low"] <= summary["cost"] <= plan["cost"]["worst"]


@pytest.mark.parametrize(
    "fault", [{"malformed_rate": 1.0}, {"reasoning_tokens": 4_000}, {"refusal_rate": 1.0}], ids=str
)
def test_the_worst_is_not_exceeded(llmx: Llmx, provider: Callable[..., Mock], fault: dict[str, Any]) -> None:
    """By a run of which every answer is wrong, long or none: neither in money nor in tokens."""
    mock = provider(MockSettings(**fault))
    options = (*priced(mock), "--max-tokens", "100000000", "--max-failures", "100%")
    plan = planned(llmx, *options[:-2])
    money, tokens = plan["limits"]
    keys = {"OPENAI_API_KEY": "k"}
    llmx("extract", "rows.jsonl", *SCHEMA, *options, "--summary", "summary.json", "-o", "out.jsonl", **keys)
    stats, summary = mock.server.stats(), json.loads((llmx.cwd / "summary.json").read_text())
    assert stats["calls"] >= 20
    assert stats["input_tokens"] + stats["output_tokens"] <= tokens["worst"]
    assert summary["cost"] <= money["worst"]


def test_a_plan_calls_nobody_and_writes_nothing(llmx: Llmx, mock: Mock) -> None:
    """Neither beside a run and a cache that are there, nor where there is nothing yet; and it needs no key."""
    (llmx.cwd / "llmx.toml").write_text("[budget.day]\ndaily-tokens = 1_000_000\n")
    options = (*priced(mock), "--budget", "day")
    before = disk(llmx)
    planned(llmx, *options, "-o", "out.jsonl")
    assert disk(llmx) == before
    run(llmx, *options, "-o", "out.jsonl", "-n", "10")
    run(llmx, *options, "-n", "12")
    calls, before = mock.calls, disk(llmx)
    planned(llmx, *options, "-o", "out.jsonl")
    planned(llmx, *options)
    llmx("estimate", "rows.jsonl", *SCHEMA, *options, "-m", "local")
    assert mock.calls == calls
    assert disk(llmx) == before


def test_rows_that_need_not_be_asked_about(llmx: Llmx, mock: Mock) -> None:
    """The run's journal has them, or else the cache; and what they tell of tokens is made use of."""
    options = priced(mock)
    run(llmx, *options, "-o", "out.jsonl", "-n", "10")
    (plan,) = planned(llmx, *options, "-o", "out.jsonl")["models"]
    assert plan["rows"] == {"ask": 20, "alike": 0, "cached": 0, "done": 10, "fails": 0}
    assert (plan["tokens"]["input_from"], plan["tokens"]["output_from"]) == ("journal", "journal")
    (plan,) = planned(llmx, *options)["models"]
    assert plan["rows"] == {"ask": 20, "alike": 0, "cached": 10, "done": 0, "fails": 0}
    assert plan["tokens"]["output_from"] == "journal"
    (plan,) = planned(llmx, *options, "--cache", "off", "-o", "other.jsonl")["models"]
    assert plan["rows"]["ask"] == 30
    (plan,) = planned(llmx, *options, "-o", "out.jsonl", "--fresh", "--cache", "off")["models"]
    assert plan["rows"]["ask"] == 30


def test_a_plan_after_a_run_is_exact(llmx: Llmx, mock: Mock) -> None:
    """Of a longer input of the same kind, by a few per cent; reasoning is measured, not assumed."""
    options = priced(mock)
    run(llmx, *options, "-o", "out.jsonl", "-n", "15")
    before = mock.server.stats()
    (plan,) = planned(llmx, *options, "-o", "out.jsonl")["models"]
    run(llmx, *options, "-o", "out.jsonl")
    after = mock.server.stats()
    used = {name: after[f"{name}_tokens"] - before[f"{name}_tokens"] for name in ("input", "output")}
    assert plan["tokens"]["input"] == pytest.approx(used["input"], rel=0.03)
    assert plan["tokens"]["output"] == pytest.approx(used["output"], rel=0.25)
    assert not plan["tokens"]["reasoning_assumed"]


def test_failed_rows_are_asked_about_again(llmx: Llmx, provider: Callable[[MockSettings], Mock]) -> None:
    """As the run itself does when it is given again."""
    mock = provider(MockSettings(malformed_rate=1.0))
    options = (*priced(mock), "--reasks", "0", "-o", "out.jsonl", "-n", "5", "--max-failures", "100%")
    llmx("extract", "rows.jsonl", *SCHEMA, *options, OPENAI_API_KEY="k")
    (plan,) = planned(llmx, *options[:-2])["models"]
    assert (plan["rows"]["ask"], plan["rows"]["done"]) == (5, 0)


def test_bad_lines_and_rows_that_are_alike(llmx: Llmx) -> None:
    """They are counted, and asked about not at all, or once."""
    (llmx.cwd / "bad.jsonl").write_text('{"t": "a"}\nnonsense\n{"t": "a"}\n{"_t": "b"}\n')
    plan = planned(llmx, *GPT, inputs="bad.jsonl")
    assert plan["rows"] == {"total": 4, "unreadable": 1, "exact": True, "cut": None}
    assert plan["models"][0]["rows"] == {"ask": 1, "alike": 1, "cached": 0, "done": 0, "fails": 1}


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl.gz"])
def test_any_kind_of_input(llmx: Llmx, mock: Mock, suffix: str) -> None:
    """What a run reads a plan does."""
    if suffix == "jsonl.gz":
        import gzip

        (llmx.cwd / "in.jsonl.gz").write_bytes(gzip.compress((llmx.cwd / "rows.jsonl").read_bytes()))
    else:
        llmx("extract", "rows.jsonl", "-s", "age int", *mock.openai, "-o", f"in.{suffix}", OPENAI_API_KEY="k")
    plan = planned(llmx, *GPT, "--prefix", "p_", inputs=f"in.{suffix}")
    assert plan["rows"]["total"] == plan["models"][0]["rows"]["ask"] == 30


def test_a_row_that_is_too_long(llmx: Llmx) -> None:
    """It fails before it is sent, and is counted so."""
    write_rows(llmx.cwd / "long.jsonl", [{"text": "a word " * 200_000}, {"text": "short"}])
    (plan,) = planned(llmx, "-m", "openai/gpt-4o-mini", inputs="long.jsonl")["models"]
    assert (plan["rows"]["ask"], plan["rows"]["fails"]) == (1, 1)


def test_models_that_cannot_be_connected_here(llmx: Llmx) -> None:
    """One whose package is missing and one whose weights are not fetched are planned for in outline: nothing is fetched."""
    models = ("-m", "local", "-m", "google/gemini-2.5-flash")
    local, google = planned(llmx, *models)["models"]
    assert (local["cost"]["expected"], local["cost"]["price_from"], local["time"]["seconds"]) == (
        0,
        "none",
        None,
    )
    assert google["cost"]["low"] < google["cost"]["expected"] < google["cost"]["worst"]
    assert google["rows"]["ask"] == 30
    done = llmx("estimate", "rows.jsonl", *SCHEMA, *models)
    assert "so that nothing stored of google/gemini-2.5-flash was looked up" in done.err
    assert "the weights of -m local are fetched by its first run" in done.err
    assert not Path(llmx.env["LLMX_HOME"]).exists()
    assert llmx("estimate", "rows.jsonl", *SCHEMA, *models[2:], "--probe", "1").code == 2


def test_standard_input(llmx: Llmx) -> None:
    """It is read once."""
    text = (llmx.cwd / "rows.jsonl").read_bytes()
    done = llmx("estimate", "-", *SCHEMA, *GPT, "--json", stdin=text)
    assert json.loads(done.out)["rows"]["total"] == 30
    assert "reading the input to its end" in done.err


def test_an_empty_input(llmx: Llmx) -> None:
    """It costs nothing, and there is no request to show."""
    (llmx.cwd / "empty.jsonl").write_text("")
    plan = planned(llmx, *GPT, inputs="empty.jsonl")
    assert (plan["rows"]["total"], plan["models"][0]["cost"]["worst"], plan["request"]) == (0, 0, None)
    done = llmx("estimate", "empty.jsonl", *SCHEMA, *GPT)
    assert "no readable row in the input: nothing would be sent" in done.out


def test_models_side_by_side(llmx: Llmx) -> None:
    """The cheapest is named; one whose price nobody knows is not, and what may have been meant is."""
    models = (*GPT, "-m", "openai/gpt-4o-minii", "-m", "anthropic/claude-haiku-4-5")
    plan = planned(llmx, *models)
    costs = {model["model"]: model["cost"]["expected"] for model in plan["models"]}
    known = {name: cost for name, cost in costs.items() if cost is not None}
    assert set(costs) - set(known) == {"openai/gpt-4o-minii"}
    assert plan["cheapest"] == min(known, key=lambda name: known[name])
    done = llmx("estimate", "rows.jsonl", *SCHEMA, *models)
    table = [line for line in done.out.splitlines() if line.startswith(tuple(costs))]
    assert table[1].count("unknown") == 3
    assert "the price of openai/gpt-4o-minii is not known; did you mean openai/gpt-4o-mini?" in done.err
    assert "--- user\n<row-" in done.out


CONFIG = """
rpm = 10

[endpoint.mine]
model = "openai/some"
base-url = "http://127.0.0.1:9/v1"
input-price = 1
output-price = 2

[budget.labels]
daily-cost = 0.5
daily-tokens = 900
"""


def test_settings_come_from_where_a_run_has_them(llmx: Llmx) -> None:
    """The config file's limits, endpoints and prices, and variables."""
    (llmx.cwd / "llmx.toml").write_text(CONFIG)
    (plan,) = planned(llmx, "-m", "mine", LLMX_MAX_OUTPUT_TOKENS="50", LLMX_ORDER="done")["models"]
    tokens = plan["tokens"]
    assert plan["time"] == {
        "seconds": 183.0,
        "bottleneck": "rpm",
        "rpm": 10,
        "tpm": None,
        "concurrency": 32,
        "latency": 3.0,
        "latency_from": "assumed",
    }
    assert plan["cost"]["price_from"] == "config"
    assert plan["cost"]["expected"] == pytest.approx((tokens["input"] + 2 * tokens["output"]) / 1e6, rel=0.02)
    assert tokens["output_cap"] == 50


def test_limits_beside_the_cost(llmx: Llmx) -> None:
    """One that holds whatever happens, one that is expected to, one that does not; for how many rows it is enough."""
    (llmx.cwd / "llmx.toml").write_text(CONFIG)
    capped = ("-m", "mine", "--max-output-tokens", "60")
    (fit,) = planned(llmx, *capped, "--max-cost", "1000")["limits"]
    enough = fit["expected"] + fit["set_aside"]
    for limit, verdict in ((fit["worst"], "yes"), (enough, "expected"), (enough / 2, "no")):
        (found,) = planned(llmx, *capped, "--max-cost", f"{limit * 1.01:.9f}")["limits"]
        assert found["fits"] == verdict
        assert (found["rows"] is None) == (verdict != "no")
    fits = planned(llmx, *capped, "--budget", "labels")["limits"]
    assert [(fit["unit"], fit["fits"]) for fit in fits] == [("USD", "yes"), ("tokens", "no")]
    done = llmx("estimate", "rows.jsonl", *SCHEMA, "-m", "mine", "--max-tokens", "3000")
    assert "--max-tokens, 3,000 tokens left: mine does not fit" in done.out


@pytest.mark.parametrize("share", [0.5, 2, 12])
def test_how_many_rows_a_cap_is_enough_for(llmx: Llmx, mock: Mock, share: float) -> None:
    """As many as a run then asks about, by three or so: none where the most that one call can cost is more."""
    options = (*priced(mock)[:-2], "--max-output-tokens", "60", "--examples", "shots.jsonl", "-c", "1")
    gold = {"name": "lamp", "age": 1, "tone": "good", "tags": []}
    write_rows(llmx.cwd / "shots.jsonl", [{"text": "x", "gold": gold}])
    run(llmx, *options[:-2], "--max-cost", "1", "-o", "other.jsonl", "-n", "3")
    (fit,) = planned(llmx, *options, "--max-cost", "1", "--cache", "off")["limits"]
    cap = f"{fit['set_aside'] * share:.7f}"
    (fit,) = planned(llmx, *options, "--max-cost", cap, "--cache", "off")["limits"]
    before = mock.calls
    done = llmx(
        "extract", "rows.jsonl", *SCHEMA, *options, "--max-cost", cap, "--cache", "off", OPENAI_API_KEY="k"
    )
    assert (fit["fits"], done.code) in (("no", 5), ("expected", 0))
    assert fit["rows"] is None or abs(mock.calls - before - fit["rows"]) <= 3
    assert (share > 1) == (mock.calls > before)


def test_what_an_earlier_session_has_spent(llmx: Llmx, mock: Mock) -> None:
    """It counts against the cap, as it does in a run."""
    options = (*priced(mock), "-o", "out.jsonl")
    cost = run(llmx, *options, "-n", "10")["cost"]
    (fit,) = planned(llmx, *options)["limits"]
    assert fit["left"] == pytest.approx(1000 - cost)


def test_examples_tell_how_long_answers_are(llmx: Llmx) -> None:
    """Rather than the schema does."""
    gold = {"name": "Ada " * 100, "age": 1, "tone": "good", "tags": []}
    write_rows(llmx.cwd / "shots.jsonl", [{"text": "x", "gold": gold}])
    (plan,) = planned(llmx, "-m", "openai/gpt-4o-mini", "--examples", "shots.jsonl")["models"]
    assert (plan["tokens"]["output_from"], plan["tokens"]["output_answers"]) == ("examples", 1)
    assert plan["tokens"]["output_per_row"] > 100


# Probes


def test_a_probe_is_paid_for_once(llmx: Llmx, provider: Callable[[MockSettings], Mock]) -> None:
    """So many rows are asked about, what they used is what the plan goes by, and the run has them for nothing."""
    mock = provider(MockSettings(latency=Latency(0.05, 0.05)))
    (plan,) = planned(llmx, *priced(mock), "--probe", "6", OPENAI_API_KEY="k")["models"]
    probed = mock.server.stats()
    assert probed["calls"] == 6
    found = plan["probe"]
    assert (found["rows"], found["ok"], found["failed"]) == (6, 6, 0)
    assert found["input_tokens"]["mean"] * 6 == pytest.approx(probed["input_tokens"])
    assert found["output_tokens"]["mean"] * 6 == pytest.approx(probed["output_tokens"])
    assert plan["rows"] == {"ask": 24, "alike": 0, "cached": 6, "done": 0, "fails": 0}
    assert 0.05 <= plan["time"]["latency"] < 2
    summary = run(llmx, *priced(mock), "-o", "out.jsonl")
    assert mock.calls == 30
    assert summary["rows"]["cached"] == 6
    assert plan["tokens"]["input"] == pytest.approx(summary["tokens"]["input"], rel=0.05)
    assert plan["cost"]["low"] <= summary["cost"] <= plan["cost"]["worst"]


def test_the_next_plan_knows_what_a_probe_has_measured(llmx: Llmx, mock: Mock) -> None:
    """It is kept as a run is, and named in the list of them."""
    planned(llmx, *priced(mock), "--probe", "5", OPENAI_API_KEY="k")
    (plan,) = planned(llmx, *priced(mock))["models"]
    assert plan["tokens"]["input_from"] == plan["tokens"]["output_from"] == "journal"
    assert plan["tokens"]["output_answers"] == 5
    assert plan["time"]["latency_from"] == "journal"
    assert "openai/gpt-5-mini" in llmx("runs", "list").out


def test_every_model_is_probed(llmx: Llmx, mock: Mock) -> None:
    """Each about as many rows."""
    second = ("-m", "openai/gpt-4o-mini")
    plan = planned(llmx, *priced(mock), *second, "--probe", "3", OPENAI_API_KEY="k")
    assert [model["probe"]["rows"] for model in plan["models"]] == [3, 3]
    assert mock.calls == 6
    assert len(list(Path(llmx.env["LLMX_HOME"], "runs").iterdir())) == 2


def test_re_asks_and_failures_of_a_probe(llmx: Llmx, provider: Callable[[MockSettings], Mock]) -> None:
    """They are told, and what re-asks cost is expected of the other rows, too."""
    mock = provider(MockSettings(malformed_rate=1.0))
    plan = planned(llmx, *priced(mock), "--probe", "4", "--reasks", "1", OPENAI_API_KEY="k")["models"][0]
    assert mock.calls == plan["probe"]["calls"] == 8
    assert (plan["probe"]["failed"], plan["probe"]["reasks"]) == (4, 4)
    assert plan["probe"]["errors"] == {"invalid_answer": 4}
    assert (plan["rows"]["ask"], plan["calls"]) == (30, 60)


def test_the_limits_that_a_server_tells_a_probe(llmx: Llmx, provider: Callable[[MockSettings], Mock]) -> None:
    """The plan goes by them where none are given."""
    mock = provider(MockSettings(rpm=120))
    (plan,) = planned(llmx, *priced(mock), "--probe", "3", OPENAI_API_KEY="k")["models"]
    assert plan["time"]["rpm"] == 120
    assert plan["time"]["bottleneck"] == "rpm"
    (plan,) = planned(llmx, *priced(mock), "--probe", "1", "--rpm", "60", OPENAI_API_KEY="k")["models"]
    assert plan["time"]["rpm"] == 60


def test_a_probe_keeps_to_the_cap(llmx: Llmx, mock: Mock) -> None:
    """Where not even one call is allowed, none is made, and the exit code says so."""
    options = ("-m", "openai/gpt-5-mini", "--base-url", f"{mock.url}/v1", "--max-cost", "0.000001")
    done = llmx("estimate", "rows.jsonl", *SCHEMA, *options, "--probe", "3", OPENAI_API_KEY="k")
    assert (done.code, mock.calls) == (5, 0)
    assert "--max-cost" in done.err


def test_a_probe_needs_a_key(llmx: Llmx) -> None:
    """Without one nothing is begun."""
    done = llmx("estimate", "rows.jsonl", *SCHEMA, *GPT, "--probe", "3")
    assert (done.code, done.out) == (4, "")
    assert "OPENAI_API_KEY is not set" in done.err


def test_a_key_that_is_refused(llmx: Llmx, provider: Callable[[MockSettings], Mock]) -> None:
    """The probe ends, with the exit code of a run."""
    mock = provider(MockSettings(keys=["right"]))
    done = llmx("estimate", "rows.jsonl", *SCHEMA, *priced(mock), "--probe", "3", OPENAI_API_KEY="wrong")
    assert done.code == 4
    assert "Traceback" not in done.err


def test_a_probe_that_is_interrupted(llmx: Llmx, provider: Callable[[MockSettings], Mock]) -> None:
    """Calls in flight are waited for, what they answered is the run's, and there is no plan."""
    mock = provider(MockSettings(latency=Latency(0.3, 0.3)))
    command = ("estimate", "rows.jsonl", *SCHEMA, *priced(mock), "--probe", "20", "-c", "2")
    running, out, err = llmx.piped(*command, OPENAI_API_KEY="k")
    wait_for(lambda: mock.calls >= 1)
    running.signal(signal.SIGINT)
    assert running.wait() == 130
    assert out.read_text() == ""
    assert "stopping: calls in flight are waited for" in err.read_text()
    asked = mock.calls
    assert asked < 20
    run(llmx, *priced(mock), "-o", "out.jsonl", "-c", "16")
    assert mock.calls == 30


def test_a_plan_that_is_interrupted(llmx: Llmx) -> None:
    """It ends at once, as any command does."""
    write_rows(llmx.cwd / "many.jsonl", ({"text": f"{WORDS} {n}"} for n in range(200_000)))
    running, out, err = llmx.piped("estimate", "many.jsonl", *SCHEMA, *GPT)
    wait_for(lambda: opened(running.pid, "many.jsonl"))
    running.signal(signal.SIGINT)
    assert running.wait() == 130
    assert (out.read_text(), "Traceback" in err.read_text()) == ("", False)


def opened(pid: int, name: str) -> bool:
    """Whether a process has a file open."""
    with suppress(OSError):
        return any(link.readlink().name == name for link in Path(f"/proc/{pid}/fd").iterdir())
    return False


if not Path("/proc/self/fd").exists():
    test_a_plan_that_is_interrupted = pytest.mark.skip("there is no /proc")(test_a_plan_that_is_interrupted)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--probe", "3", "--cache", "off"), "--probe with --cache off"),
        (("--probe", "3", "--no-store"), "--probe with --no-store"),
        (("--probe", "0"), "--probe '0'"),
        (("--probe", "many"), "--probe 'many'"),
        (("--mode", "tols"), "did you mean tools?"),
        (("--budget", "nope"), "no budget 'nope'"),
        (("-m", "opnai/gpt-5-mini"), "did you mean 'openai/gpt-5-mini'?"),
        (("-s", "name nonsense"), "unknown type 'nonsense'"),
    ],
)
def test_what_is_wrong_is_said(llmx: Llmx, argv: tuple[str, ...], says: str) -> None:
    """With exit code 2, and without a plan."""
    done = llmx("estimate", "rows.jsonl", *SCHEMA, *GPT, *argv)
    assert (done.code, done.out) == (2, "")
    assert says in done.err


# --dry-run


def test_a_dry_run_shows_the_plan(llmx: Llmx) -> None:
    """The table of `llmx estimate`, on standard error; standard output has the request, as ever."""
    shown = llmx("estimate", "rows.jsonl", *SCHEMA, *GPT)
    dry = llmx("extract", "rows.jsonl", *SCHEMA, *GPT, "--dry-run")
    table = shown.out.split("\nthe first prompt:")[0]
    assert table.strip() in dry.err
    assert json.loads(dry.out) == planned(llmx, *GPT)["request"]


def test_a_chain_is_one_run(llmx: Llmx, mock: Mock) -> None:
    """What one of its models has answered nobody is asked again."""
    first, second = priced(mock), ("-m", "openai/gpt-4o-mini")
    run(llmx, *first, "-n", "10")
    dry = llmx("extract", "rows.jsonl", *SCHEMA, *first[2:], *second, *first[:2], "--dry-run")
    assert "30 rows: 20 to ask about, 10 cached" in dry.err
    assert "one run: each model is shown as if all rows went to it" in dry.err


def test_a_dry_run_of_a_pipe(llmx: Llmx) -> None:
    """Its rows are the run's: only the first is looked at, and why there is no plan is said."""
    text = (llmx.cwd / "rows.jsonl").read_bytes()
    dry = llmx("extract", "-", *SCHEMA, *GPT, "--dry-run", stdin=text)
    assert "the input can be read only once" in dry.err
    assert json.loads(dry.out)["model"] == "gpt-5-mini"


def test_votes_are_as_many_calls(llmx: Llmx, mock: Mock) -> None:
    """But for those that are stored, of which a run without votes has left the first."""
    options = priced(mock)
    run(llmx, *options, "-n", "10")
    (plan,) = planned(llmx, *options, "--votes", "3")["models"]
    assert plan["rows"] == {"ask": 30, "alike": 0, "cached": 0, "done": 0, "fails": 0}
    assert plan["calls"] == 10 * 2 + 20 * 3
    before = mock.calls
    summary = run(llmx, *options, "--votes", "3", "-o", "votes.jsonl")
    assert mock.calls - before == plan["calls"]
    assert plan["cost"]["low"] <= summary["cost"] <= plan["cost"]["worst"]
    (plan,) = planned(llmx, *options, "--votes", "3")["models"]
    assert (plan["rows"]["cached"], plan["calls"]) == (30, 0)


def test_evidence_is_planned_for(llmx: Llmx, mock: Mock) -> None:
    """The schema around the user's counts, and what is stored of its answers is found."""
    options = (*priced(mock), "--evidence")
    (plan,) = planned(llmx, *options)["models"]
    run(llmx, *options, "-o", "out.jsonl")
    assert plan["tokens"]["input"] == pytest.approx(mock.server.stats()["input_tokens"], rel=0.1)
    (plan,) = planned(llmx, *options)["models"]
    assert plan["rows"]["cached"] == 30


def test_a_cascade_is_planned_from_its_first_model_to_all(llmx: Llmx, mock: Mock) -> None:
    """The last one is asked once about a row, and not put to the vote."""
    cascade = ("--cascade", "openai/gpt-5-nano,openai/gpt-5", "--votes", "3")
    nano, strong = planned(llmx, *cascade, "--base-url", f"{mock.url}/v1", "--max-cost", "1000")["models"]
    assert (nano["calls"], strong["calls"]) == (90, 30)
    done = llmx("estimate", "rows.jsonl", *SCHEMA, *cascade)
    assert (done.code, "cheapest" in done.out) == (0, False)
    done = llmx("extract", "rows.jsonl", *SCHEMA, *cascade, "--base-url", f"{mock.url}/v1", "--dry-run")
    assert "rows go on only where openai/gpt-5-nano's answer will not do" in done.err


def test_a_probe_with_votes(llmx: Llmx, mock: Mock) -> None:
    """Its answers are those that the run needs; tokens are measured by the call."""
    options = (*priced(mock), "--votes", "3")
    (plan,) = planned(llmx, *options, "--probe", "5", OPENAI_API_KEY="k")["models"]
    assert mock.calls == 15
    assert (plan["rows"]["ask"], plan["rows"]["cached"], plan["calls"]) == (25, 5, 75)
    before = mock.server.stats()["input_tokens"]
    run(llmx, *options, "-o", "out.jsonl")
    assert mock.calls == 90
    assert plan["tokens"]["input"] == pytest.approx(mock.server.stats()["input_tokens"] - before, rel=0.1)
