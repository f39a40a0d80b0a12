"""Settings: what is wrong with an option is one line that names it, its value and what it takes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llmx.errors import UsageError
from llmx.settings import FORMATS, MaxFailures, Settings, as_options, parse_duration


def settings(**values: Any) -> Settings:
    return Settings.of({"schema": "name", **values})


def test_defaults():
    """What nobody asked for has the documented value."""
    given_none = settings()
    assert (given_none.retries, given_none.reasks, given_none.timeout) == (5, 2, 120)
    assert (given_none.patience, given_none.max_wait, given_none.cache_ttl) == (600, 600, 30 * 86400)
    assert (given_none.output, given_none.order, given_none.cache, given_none.keep) == (
        "-",
        "input",
        "exact",
        ["all"],
    )
    assert given_none.max_failures == MaxFailures(0)


def test_none_means_not_given():
    """An option that was left out gets its default, not None."""
    assert settings(retries=None, timeout=None).retries == 5


def test_settings_do_not_change():
    """A run's settings are one immutable value."""
    with pytest.raises(ValidationError):
        settings().retries = 3  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("timeout", "soon", "--timeout: 'soon' is no duration; write 90, 90s, 10m, 2h or 30d"),
        ("timeout", "0", "--timeout '0': input should be greater than 0"),
        ("patience", -1, "--patience -1: input should be greater than 0"),
        ("cache_ttl", "1 year", "--cache-ttl: '1 year' is no duration; write 90, 90s, 10m, 2h or 30d"),
        ("rpm", 0, "--rpm 0: input should be greater than or equal to 1"),
        ("rpm", float("inf"), "--rpm inf: input should be a finite number"),
        ("tpm", float("nan"), "--tpm nan: input should be a finite number"),
        ("tpm", 59, "--tpm 59: input should be greater than or equal to 60"),
        ("rpm", "fast", "--rpm 'fast': input should be a valid number"),
        ("retries", -1, "--retries -1: input should be greater than or equal to 0"),
        (
            "reasks",
            "2.5",
            "--reasks '2.5': input should be a valid integer",
        ),
        ("concurrency", 0, "--concurrency 0: input should be greater than or equal to 1"),
        ("temperature", 3, "--temperature 3: input should be less than or equal to 2"),
        ("max_output_tokens", 0, "--max-output-tokens 0: input should be greater than or equal to 1"),
        ("keep", "a,,b", "--keep: 'a,,b' has an empty name; write them apart by commas"),
        ("keep", "", "--keep: '' has an empty name; write them apart by commas"),
        ("keep", '"a', """--keep: '"a' has a quote that does not close; write "one, name",other"""),
        ("order", "random", "--order: 'random' is not one of input, done"),
        (
            "max_failures",
            "5 %",
            "--max-failures: '5 %' is neither a number of rows nor a percentage such as 5%",
        ),
        (
            "max_failures",
            "101%",
            "--max-failures: '101%' is neither a number of rows nor a percentage such as 5%",
        ),
        ("max_failures", -1, "--max-failures: -1 is neither a number of rows nor a percentage such as 5%"),
        ("max_failures", 5.5, "--max-failures: 5.5 is neither a number of rows nor a percentage such as 5%"),
        (
            "max_failures",
            True,
            "--max-failures: True is neither a number of rows nor a percentage such as 5%",
        ),
        ("max_failures", [1], "--max-failures: [1] is neither a number of rows nor a percentage such as 5%"),
        ("model", "a,,b", "--model: 'a,,b' has an empty name; write them apart by commas"),
        ("model", ["a", ""], "--model is empty"),
        ("model", ["a", 3], "--model 3: input should be a valid string"),
        ("max_cost", "0", "--max-cost '0': input should be greater than 0"),
        ("max_cost", "nan", "--max-cost 'nan': input should be a finite number"),
        ("max_cost", "much", "--max-cost 'much': input should be a valid decimal"),
        ("max_tokens", 0, "--max-tokens 0: input should be greater than or equal to 1"),
        ("budget", "", "--budget is empty"),
    ],
)
def test_a_wrong_value_is_one_line(option: str, value: object, message: str):
    """The option, the value, and what it takes."""
    with pytest.raises(UsageError) as caught:
        settings(**{option: value})
    assert str(caught.value) == message
    assert caught.value.hint == ""


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a, b ,c", ["a", "b", "c"]),
        ('"last, first",b', ["last, first", "b"]),
        ('" a ", b', [" a ", "b"]),
        ('"say ""hi""",b', ['say "hi"', "b"]),
        ('5" disk', ['5" disk']),
        ("\na", ["a"]),
    ],
)
def test_names_are_apart_by_commas(text: str, names: list[str]):
    """Quoted as in CSV where a name holds one."""
    assert settings(keep=text).keep == names


@pytest.mark.parametrize(
    ("given", "models"),
    [
        ("openai/a", ["openai/a"]),
        ("openai/a, fast,local", ["openai/a", "fast", "local"]),
        ('"local//a, b.gguf",fast', ["local//a, b.gguf", "fast"]),
        (["openai/a", "local//a, b.gguf"], ["openai/a", "local//a, b.gguf"]),
        (["openai/a", "openai/a"], ["openai/a", "openai/a"]),
        (None, []),
    ],
    ids=str,
)
def test_models_are_a_list(given: object, models: list[str]):
    """One, several apart by commas as in `LLMX_MODEL`, or a list, whose names are as they are: paths have commas."""
    assert settings(model=given).model == models


def test_the_settings_of_a_chain_are_those_of_its_options():
    """What a manifest keeps makes the same settings, tables and money to the last digit included."""
    fast = {
        "model": "openai/m",
        "base-url": "http://x",
        "input-price": "0.10",
        "output-price": "1",
        "rpm": 60.0,
    }
    asked = settings(
        model="fast,local//a.gguf",
        endpoints={"fast": fast},
        budgets={"team": {"daily-cost": "12.30", "daily-tokens": 10**9}},
        max_cost="0.70",
        budget="team",
    )
    options = as_options(asked)
    assert options["model"] == ["fast", "local//a.gguf"]
    assert options["endpoints"]["fast"] == fast
    assert Settings.of(json.loads(json.dumps(options))) == asked


def test_a_value_that_was_no_flag_is_called_what_it_was():
    """Nobody looks for it on the command line."""
    with pytest.raises(UsageError, match=r"^--rpm \(from LLMX_RPM\) 'fast': "):
        Settings.of({"schema": "a str", "rpm": "fast"}, said={"rpm": "LLMX_RPM"})


@pytest.mark.parametrize(
    ("option", "value", "message", "hint"),
    [
        ("order", "inputs", "--order: 'inputs' is not one of input, done", "did you mean input?"),
        (
            "mode",
            "tool",
            "--mode: 'tool' is not one of auto, json_schema, tools, json",
            "did you mean tools?",
        ),
        ("cache", "exakt", "--cache: 'exakt' is not one of exact, semantic, off", "did you mean exact?"),
        ("concurency", 3, "no option --concurency", "did you mean --concurrency?"),
        ("max_failure", 3, "no option --max-failure", "did you mean --max-failures?"),
    ],
)
def test_a_misspelt_name_or_value_gets_the_nearest(option: str, value: object, message: str, hint: str):
    """The hint is the name that was probably meant."""
    with pytest.raises(UsageError) as caught:
        settings(**{option: value})
    assert (str(caught.value), caught.value.hint) == (message, hint)


def test_a_name_like_nothing_gets_no_hint():
    """A guess that is none is not made."""
    with pytest.raises(UsageError, match=r"^no option --zzzz$") as caught:
        settings(zzzz=1)
    assert caught.value.hint == ""


def test_the_schema_is_required():
    """The one option without a default says where to look for one."""
    with pytest.raises(UsageError, match=r"^--schema is required$") as caught:
        Settings.of({})
    assert caught.value.hint == "llmx schema list"


def test_names_are_split_at_commas():
    """`--keep id, name` is two columns; a list from a config file is taken as it is."""
    assert settings(keep="id, name").keep == ["id", "name"]
    assert settings(input=["a, b"]).input == ["a, b"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("1.5m", 90),
        ("2h", 7200),
        ("30d", 2_592_000),
        ("250ms", 0.25),
        (" 10 m ", 600),
    ],
)
def test_durations(text: str, seconds: float):
    """A number of seconds, or one with a unit."""
    assert parse_duration(text) == pytest.approx(seconds)
    assert settings(timeout=text).timeout == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "m", "-1", "1e3", "1,5", "inf", "nan", "10 min", "1h30m"])
def test_what_is_no_duration(text: str):
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


def test_a_number_is_seconds_already():
    """Config files and the library may give numbers."""
    assert parse_duration(1.5) == 1.5
    assert settings(timeout=1.5).timeout == 1.5


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, MaxFailures(3)),
        ("3", MaxFailures(3)),
        ("5%", MaxFailures(5.0, percent=True)),
        ("0.5%", MaxFailures(0.5, percent=True)),
        ("100%", MaxFailures(100.0, percent=True)),
        (MaxFailures(7), MaxFailures(7)),
    ],
)
def test_max_failures(value: object, expected: MaxFailures):
    """A count or a share."""
    assert settings(max_failures=value).max_failures == expected


@pytest.mark.parametrize(
    ("limit", "failed", "total", "exceeded"),
    [
        (MaxFailures(), 0, 10, False),
        (MaxFailures(), 1, 10, True),
        (MaxFailures(3), 3, 10, False),
        (MaxFailures(3), 4, 10, True),
        (MaxFailures(5, percent=True), 5, 100, False),
        (MaxFailures(5, percent=True), 6, 100, True),
        (MaxFailures(5, percent=True), 0, 0, False),
        (MaxFailures(0, percent=True), 1, 100, True),
    ],
)
def test_at_or_under_is_not_exceeded(limit: MaxFailures, failed: int, total: int, exceeded: bool):
    """The limit itself is still allowed."""
    assert limit.exceeded(failed, total) is exceeded


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_a_hundred_percent_is_never_exceeded(failed: int, others: int):
    """All rows may fail at 100%."""
    assert not MaxFailures(100, percent=True).exceeded(failed, failed + others)


def test_formats_are_those_of_the_option():
    """`FORMATS` lists what `--input-format` takes; plain text is no output."""
    assert [settings(input_format=name).input_format for name in FORMATS] == list(FORMATS)
    with pytest.raises(UsageError, match=r"^--output-format: 'text' is not one of jsonl, csv, tsv, parquet$"):
        settings(output_format="text")
