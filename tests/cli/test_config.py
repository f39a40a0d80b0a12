"""Where options come from: flags, variables, the project's file, the user's file, in this order."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Llmx, Mock
from rehearsal import write_rows

RUN = ("extract", "rows.jsonl", "-s", "name, age int", "-n", "1")


@pytest.fixture
def user_config(llmx: Llmx) -> Path:
    folder = Path(llmx.env["XDG_CONFIG_HOME"], "llmx")
    folder.mkdir(parents=True)
    return folder / "config.toml"


def prefix_of(llmx: Llmx, mock: Mock, *argv: str, **variables: str) -> str:
    """Which of the places won: each says another `--prefix`."""
    done = llmx(*RUN, *mock.openai, *argv, **variables)
    assert done.code == 0, done.err
    return str(next(name for name in done.rows[0] if name.endswith("name"))).removesuffix("name")


def test_a_flag_wins_over_a_variable(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """What is typed now is meant."""
    assert prefix_of(llmx, mock, "--prefix", "flag_", LLMX_PREFIX="env_") == "flag_"


def test_a_variable_wins_over_the_project(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """The environment of this shell is nearer than a file."""
    (llmx.cwd / "llmx.toml").write_text('prefix = "project_"')
    assert prefix_of(llmx, mock, LLMX_PREFIX="env_") == "env_"


def test_the_project_wins_over_the_user(llmx: Llmx, mock: Mock, rows: Path, user_config: Path) -> None:
    """The folder is nearer than the home."""
    user_config.write_text('prefix = "user_"')
    (llmx.cwd / "llmx.toml").write_text('prefix = "project_"')
    assert prefix_of(llmx, mock) == "project_"


def test_the_users_file_is_read(llmx: Llmx, mock: Mock, rows: Path, user_config: Path) -> None:
    """It holds where nothing else says anything."""
    user_config.write_text('prefix = "user_"')
    assert prefix_of(llmx, mock) == "user_"


def test_both_files_are_merged(llmx: Llmx, mock: Mock, rows: Path, user_config: Path) -> None:
    """The project's file leaves alone what it does not name."""
    user_config.write_text('prefix = "user_"\nkeep = "none"')
    (llmx.cwd / "llmx.toml").write_text('keep = "id"')
    done = llmx(*RUN, *mock.openai)
    assert list(done.rows[0]) == ["id", "user_name", "user_age"]


def test_pyproject_is_a_project_file(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """`[tool.llmx]` counts, from a folder above too."""
    (llmx.cwd / "pyproject.toml").write_text('[tool.llmx]\nprefix = "py_"')
    inner = llmx.cwd / "inner"
    inner.mkdir()
    done = llmx("extract", "../rows.jsonl", *RUN[2:], *mock.openai, cwd=inner)
    assert "py_name" in done.rows[0]


def test_lists_and_numbers_are_values(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """TOML's own lists, numbers and truths are taken."""
    (llmx.cwd / "llmx.toml").write_text(
        'keep = ["id", "text"]\ntimeout = 30\nmax-failures = 1\nmeta = true\n'
    )
    done = llmx(*RUN, *mock.openai)
    assert list(done.rows[0]) == ["id", "text", "name", "age", "_llmx"]


def test_an_unknown_key(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """A misspelt key is refused, naming file and the nearest key."""
    (llmx.cwd / "llmx.toml").write_text("concurency = 3")
    done = llmx(*RUN, *mock.openai)
    assert (done.code, done.out, mock.calls) == (2, "", 0)
    assert done.err == (
        f"error: {llmx.cwd / 'llmx.toml'}: unknown key 'concurency'\nhint: did you mean 'concurrency'?\n"
    )


def test_names_with_commas_in_a_list(llmx: Llmx, mock: Mock) -> None:
    """A column may be called anything."""
    write_rows(llmx.cwd / "rows.jsonl", [{"a, b": 1, " c ": 2, "d": 3}])
    (llmx.cwd / "llmx.toml").write_text('keep = ["a, b", " c "]')
    done = llmx(*RUN, *mock.openai)
    assert list(done.rows[0]) == ["a, b", " c ", "name", "age"]
    assert list(llmx(*RUN, *mock.openai, "--keep", '"a, b",d').rows[0]) == ["a, b", "d", "name", "age"]


def test_a_list_where_one_value_is_taken(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """It must not become a prompt."""
    (llmx.cwd / "llmx.toml").write_text('prompt = ["a", "b"]')
    done = llmx(*RUN, *mock.openai)
    assert (done.code, mock.calls) == (2, 0)
    assert done.err == "error: prompt in the config file takes one value, not a list\n"


def test_paths_of_a_file_above(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """The schema that stands beside the config file is found from a folder below."""
    (llmx.cwd / "s.py").write_text("from pydantic import BaseModel\nclass Row(BaseModel):\n    topic: str\n")
    (llmx.cwd / "llmx.toml").write_text('schema = "s.py:Row"\nkeep = "none"')
    inner = llmx.cwd / "inner"
    inner.mkdir()
    done = llmx("extract", "../rows.jsonl", "-n", "1", *mock.openai, cwd=inner)
    assert [list(row) for row in done.rows] == [["topic"]]


@pytest.mark.parametrize(
    ("config", "variables", "named"),
    [("rpm = 0", {}, "the config file"), ("", {"LLMX_RPM": "0"}, "LLMX_RPM")],
)
def test_an_error_names_where_the_value_stands(
    config: str, variables: dict[str, str], named: str, llmx: Llmx, mock: Mock, rows: Path
) -> None:
    """It is no flag that the user would look for."""
    (llmx.cwd / "llmx.toml").write_text(config)
    done = llmx(*RUN, *mock.openai, **variables)
    message = f"error: --rpm (from {named}) '0': input should be greater than or equal to 1\n"
    assert (done.code, done.err) == (2, message)


def test_a_misspelt_value(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """A file's value is checked like a flag's."""
    (llmx.cwd / "llmx.toml").write_text('mode = "tool"')
    assert "hint: did you mean tools?\n" in llmx(*RUN, *mock.openai).err


def test_a_file_that_is_no_toml(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """The line is named."""
    (llmx.cwd / "llmx.toml").write_text("mode = \n")
    done = llmx(*RUN, *mock.openai)
    assert done.code == 2
    assert "llmx.toml: not valid TOML: " in done.err
    assert "line 1" in done.err


def test_other_commands_do_not_read_it(llmx: Llmx) -> None:
    """`llmx doctor` works where the config is broken."""
    (llmx.cwd / "llmx.toml").write_text("mode = \n")
    assert llmx("doctor").code == 0


def test_an_unknown_variable_is_a_warning(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """It may be another program's, so it stops nothing."""
    done = llmx(*RUN, *mock.openai, LLMX_CONCURENCY="3")
    assert done.code == 0
    assert done.err.startswith(
        "warning: LLMX_CONCURENCY is set but no option reads it; did you mean LLMX_CONCURRENCY?\n"
    )


def test_a_truth_by_variable(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """A flag's variable takes 1 and 0, and the command line can say the opposite."""
    assert "_llmx" in llmx(*RUN, *mock.openai, LLMX_META="1").rows[0]
    assert "_llmx" not in llmx(*RUN, *mock.openai, "--no-meta", LLMX_META="1").rows[0]


def test_the_model_by_variable(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """LLMX_MODEL and OPENAI_BASE_URL make a command without a model complete."""
    done = llmx(*RUN, LLMX_MODEL="openai/mock", OPENAI_BASE_URL=f"{mock.url}/v1")
    assert done.code == 0, done.err
    assert mock.calls == 1


def test_anthropics_own_address_by_variable(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """ANTHROPIC_BASE_URL is honoured."""
    done = llmx(*RUN, LLMX_MODEL="anthropic/claude-haiku-4-5", ANTHROPIC_BASE_URL=mock.url)
    assert done.code == 0, done.err
    assert mock.server.stats()["endpoints"] == {"/messages": 1}


# Names of endpoints


def named(llmx: Llmx, mock: Mock, extra: str = "") -> None:
    """A project with two names for one server."""
    tables = "".join(
        f'[endpoint.{name}]\nmodel = "openai/{name}-1"\nbase-url = "{mock.url}/v1"\n'
        for name in ("fast", "slow")
    )
    (llmx.cwd / "llmx.toml").write_text(extra + tables)


def models_of(llmx: Llmx, *argv: str, **variables: str) -> set[str]:
    """Which models answered."""
    done = llmx(*RUN, "--meta", "--cache", "off", *argv, **{"OPENAI_API_KEY": "x", **variables})
    assert done.code == 0, done.err
    return {row["_llmx"]["model"] for row in done.rows}


def test_a_name_of_the_config_file_is_a_model(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """On the command line, in the variable and in the file itself; the first of several answers."""
    named(llmx, mock, 'model = ["slow", "fast"]\n')
    assert models_of(llmx) == {"slow-1"}
    assert models_of(llmx, LLMX_MODEL="fast, slow") == {"fast-1"}
    assert models_of(llmx, "-m", "slow", "-m", "fast", LLMX_MODEL="fast") == {"slow-1"}


def test_an_endpoint_is_asked_once(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """Twice, its limits would hold twice."""
    named(llmx, mock)
    done = llmx(*RUN, "-m", "fast", "-m", "slow", "-m", "fast", "--spread", OPENAI_API_KEY="x")
    assert (done.code, mock.calls) == (2, 0)
    assert "error: -m fast is given twice\nhint: " in done.err


def test_an_address_that_would_not_be_asked(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """The endpoint's own is the nearer one; who gives another on the command line means something else."""
    named(llmx, mock)
    given = ("--base-url", "http://127.0.0.1:1/v1")
    done = llmx(*RUN, "-m", "fast", *given, OPENAI_API_KEY="x")
    assert (done.code, mock.calls) == (2, 0)
    assert done.err == (
        "error: --base-url has no effect: [endpoint.fast] has a base-url of its own\n"
        "hint: -m openai/fast-1 --base-url URL\n"
    )
    assert models_of(llmx, "-m", "fast", LLMX_BASE_URL=given[1]) == {"fast-1"}


def test_a_comma_in_quotes_is_part_of_a_name(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """The variable is read in one way: what is in quotes is not taken for an endpoint of the file."""
    named(llmx, mock, "")
    done = llmx(*RUN, LLMX_MODEL='"local/a, fast"')
    assert "no endpoint" not in done.err
    assert "'a, fast'" in done.err


def test_a_variable_with_an_empty_name(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """The variable is named, not the flag that nobody wrote."""
    done = llmx(*RUN, LLMX_MODEL="fast,,slow")
    assert done.code == 2
    assert done.err == (
        "error: --model (from LLMX_MODEL): 'fast,,slow' has an empty name; write them apart by commas\n"
    )


def test_a_table_that_is_wrong_costs_nothing(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """Even one that this run would not use."""
    named(llmx, mock, '[endpoint.other]\nmodl = "openai/x"\n')
    done = llmx(*RUN, "-m", "fast")
    assert (done.code, mock.calls) == (2, 0)
    path = llmx.cwd / "llmx.toml"
    assert done.err == f"error: {path}: [endpoint.other]: unknown key 'modl'\nhint: did you mean 'model'?\n"


def test_an_address_that_is_none_is_an_endpoints(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """Which of several it is."""
    named(llmx, mock, '[endpoint.other]\nmodel = "openai/x"\nbase-url = "localhost"\n')
    done = llmx(*RUN, "-m", "fast", "-m", "other", OPENAI_API_KEY="x")
    assert (done.code, mock.calls) == (2, 0)
    assert done.err.startswith("error: [endpoint.other]: base-url is no http(s) address\nhint: ")
    done = llmx(*RUN, "-m", "openai/x", "--base-url", "localhost", OPENAI_API_KEY="x")
    assert done.err.startswith("error: the base URL is no http(s) address\nhint: ")


def test_a_model_that_is_none_is_an_endpoints(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """Nobody has typed it."""
    named(llmx, mock, '[endpoint.other]\nmodel = "gpt-5-mini"\n')
    done = llmx(*RUN, "-m", "other", OPENAI_API_KEY="x")
    said = "error: [endpoint.other]: model 'gpt-5-mini' does not say which provider serves it\nhint: openai/gpt-5-mini\n"
    assert (done.code, done.err) == (2, said)


def test_a_word_may_be_meant_for_an_endpoint(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """The hint knows both."""
    named(llmx, mock)
    done = llmx(*RUN, "-m", "x")
    assert done.code == 2
    assert done.err.endswith(", or the NAME of an [endpoint.NAME] of llmx.toml\n")


def test_a_key_of_an_endpoints_own(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """It is looked for under the name that the table says, and under no other."""
    named(llmx, mock)
    with (llmx.cwd / "llmx.toml").open("a") as config:
        config.write('key-name = "SLOW_KEY"\n')
    done = llmx(*RUN, "-m", "slow", OPENAI_API_KEY="x")
    assert (done.code, mock.calls) == (4, 0)
    assert done.err.endswith("error: no key for openai: SLOW_KEY is not set\nhint: export SLOW_KEY=…\n")
    assert models_of(llmx, "-m", "slow", SLOW_KEY="x") == {"slow-1"}


ENDPOINTS = """
[endpoint.cheap]
model = "openai/gpt-5-nano"
base-url = "URL"

[endpoint.strong]
model = "openai/gpt-5-mini"
base-url = "URL"
"""


def cascading(llmx: Llmx, mock: Mock, above: str = "") -> None:
    url = mock.openai[mock.openai.index("--base-url") + 1]
    (llmx.cwd / "llmx.toml").write_text(above + ENDPOINTS.replace("URL", url))


def test_a_cascade_names_endpoints(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """As -m does: those of the config file."""
    cascading(llmx, mock)
    done = llmx(*RUN, "--cascade", "cheap,strong", "--meta")
    assert done.code == 0, done.err
    assert done.rows[0]["_llmx"]["model"] == "gpt-5-nano"
    assert "strong: 0 calls" in done.err


@pytest.mark.parametrize(
    ("above", "argv", "variables", "asked"),
    [
        ('cascade = "cheap,strong"', ["-m", "strong"], {}, "gpt-5-mini"),
        ('model = "strong"', ["--cascade", "cheap,strong"], {}, "gpt-5-nano"),
        ("", ["--cascade", "cheap,strong"], {"LLMX_MODEL": "strong"}, "gpt-5-nano"),
        ("", ["-m", "strong"], {"LLMX_CASCADE": "cheap,strong"}, "gpt-5-mini"),
    ],
)
def test_of_a_model_and_a_cascade_the_nearer_one_is_meant(
    llmx: Llmx, mock: Mock, rows: Path, above: str, argv: list[str], variables: dict[str, str], asked: str
) -> None:
    """What is typed wins over a variable, and that over the file."""
    cascading(llmx, mock, above)
    done = llmx(*RUN, *argv, "--meta", **variables)
    assert done.code == 0, done.err
    assert done.rows[0]["_llmx"]["model"] == asked


def test_a_model_and_a_cascade_in_one_place(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """One of them would have no effect."""
    done = llmx(*RUN, *mock.openai, "--cascade", "openai/a,openai/b")
    assert done.code == 2
    assert done.err.startswith("error: -m and --cascade exclude each other\nhint: ")
