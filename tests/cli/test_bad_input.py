"""What bad input gets: exit code 2 before any call, one line naming it, the nearest name as a hint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Llmx, Mock

from llmx.mock import MockSettings

GOOD = ("rows.jsonl", "-s", "name, age int")
READY = "address, contact, entities, invoice, product, sentiment, ticket"
FORMATS = "jsonl|csv|tsv|parquet|text"

COMMANDS = [
    (("extrct",), "no such command 'extrct'", "did you mean 'extract'?"),
    (("cache", "stat"), "no such command 'stat'", "did you mean 'stats'?"),
    (("wibble",), "no such command 'wibble'", "llmx --help"),
    (("extract", "--shema", "x"), "no such option: --shema", "did you mean --schema?"),
    (("extract", "--rpm"), "option '--rpm' requires an argument", "llmx extract --help"),
    (("extract", "rows.jsonl"), "--schema is required", "llmx schema list"),
    (("schema", "show", "sentimnt"), "there is no schema named 'sentimnt'", "did you mean 'sentiment'?"),
    (("models", "opnai"), "no model with a known price matches 'opnai'", "llmx models openai"),
]

SETTINGS = [
    (("--rpm", "0"), "--rpm '0': input should be greater than or equal to 1", ""),
    (
        ("--mode", "tool"),
        "--mode: 'tool' is not one of auto, json_schema, tools, json",
        "did you mean tools?",
    ),
    (("--order", "dnoe"), "--order: 'dnoe' is not one of input, done", "did you mean done?"),
    (("--cache", "exat"), "--cache: 'exat' is not one of exact, semantic, off", "did you mean exact?"),
    (("--timeout", "soon"), "--timeout: 'soon' is no duration; write 90, 90s, 10m, 2h or 30d", ""),
    (
        ("--max-failures", "101%"),
        "--max-failures: '101%' is neither a number of rows nor a percentage such as 5%",
        "",
    ),
    (("--keep", "idd"), "--keep: no column 'idd'", "did you mean 'id'? the columns are id, text"),
    (("--key", "idd"), "no column 'idd' in 'rows.jsonl'", "did you mean 'id'? the columns are id, text"),
    (("--input", "txt"), "--input: no column 'txt'; there are id, text", "did you mean 'text'?"),
    (("-p", "{{ txt }}"), "--prompt: no column 'txt'; there are id, text", "did you mean 'text'?"),
    (
        ("-p", "{{ text"),
        "--prompt line 1: unexpected end of template, expected 'end of print statement'.",
        "",
    ),
    (("-p", "@no.txt"), "--prompt: cannot read 'no.txt': No such file or directory", ""),
    (("--system", "@no.txt"), "--system: cannot read 'no.txt': No such file or directory", ""),
    (("--examples", "no.jsonl"), "no such file: 'no.jsonl'", ""),
    (("--explode", "name"), "--explode 'name': that field is not a list", "the schema has no list"),
    (
        ("--prefix", "a_", "--into", "b"),
        "--prefix and --into exclude each other",
        "--into alone keeps the names apart",
    ),
    (("--into", "id"), "the input column 'id' is also a column of the output", "--prefix llm_"),
    (("-o", "no/out.jsonl"), "the folder 'no' of the output does not exist", "mkdir -p no"),
    (("-o", "out.foo"), "unknown suffix '.foo' in 'out.foo'", "name the format: --output-format"),
    (("-o", "rows.jsonl"), "the output 'rows.jsonl' is also an input", "give -o another name"),
    (("--errors", "no/e.jsonl"), "--errors: the folder 'no' of the output does not exist", "mkdir -p no"),
    (
        ("--errors", "rows.jsonl"),
        "--errors: the output 'rows.jsonl' is also an input",
        "--errors PATH, under another name",
    ),
    (
        ("--errors", "o.jsonl", "-o", "o.jsonl"),
        "--errors: 'o.jsonl' is an output already",
        "--errors PATH, under another name",
    ),
    (("--errors", "e.csv"), "--errors 'e.csv': failed rows are JSON Lines", "--errors e.jsonl"),
    (("--summary", "no/s.json"), "--summary: the folder 'no' of the output does not exist", "mkdir -p no"),
    (
        ("--summary", "rows.jsonl"),
        "--summary: the output 'rows.jsonl' is also an input",
        "--summary PATH, under another name",
    ),
    (("-m", "opnai/x"), "no provider 'opnai' in model 'opnai/x'", "did you mean 'openai/x'?"),
    (
        ("-m", "gpt-5-mini"),
        "model 'gpt-5-mini' does not say which provider serves it",
        "openai/gpt-5-mini",
    ),
]

SCHEMAS = [
    ("sentimnt", "there is no schema named 'sentimnt'", f"did you mean 'sentiment'? ready-made: {READY}"),
    ("name, age itn", "inline schema, character 11: unknown type 'itn'", "did you mean 'int'?"),
    ("name, text", "the input column 'text' is also a field of the schema", "--prefix llm_ or --into result"),
    ("no.py:Model", "there is no schema file 'no.py'", "looked in"),
    ("raises.py:Model", "raises.py:1: RuntimeError: boom", "the file must load: mend the line it names"),
    ("syntax.py:Model", "syntax.py:1: SyntaxError: invalid syntax", "the file must load"),
    ("other.py:Mdel", "other.py has no class 'Mdel'", "it has Model"),
    ("other.py:Plain", "other.py:Plain is not a Pydantic model but another class", "derive the class from"),
    ("bad.json", "bad.json: not a valid JSON Schema at type: 'objct'", ""),
]
FILES = {
    "raises.py": "raise RuntimeError('boom')\n",
    "syntax.py": "def (:\n",
    "other.py": "import pydantic\nclass Plain: pass\nclass Model(pydantic.BaseModel):\n    x: int\n",
    "bad.json": '{"type": "objct"}',
}

INPUTS = [
    ("rws.jsonl", "no such file: 'rws.jsonl'", "did you mean 'rows.jsonl'?"),
    ("rows.xyz", "unknown suffix '.xyz' in 'rows.xyz'", f"name the format: --input-format {FORMATS}"),
    ("empty", "no text file and no file of rows in the folder 'empty'", "files are chosen by suffix"),
    ("twice.csv", "twice.csv", ""),
]


def assert_refused(done: object, message: str, hint: str) -> None:
    code, out, err = done.code, done.out, done.err.splitlines()  # type: ignore[attr-defined]  # a Finished
    assert (code, out) == (2, ""), err
    assert err[0].startswith("error: ")
    assert message in err[0]
    assert len(err) <= 2
    assert hint in (err[1] if len(err) == 2 else "")
    assert all(line.startswith("hint: ") for line in err[1:])


@pytest.mark.parametrize(("argv", "message", "hint"), COMMANDS, ids=lambda value: str(value)[:40])
def test_a_misspelt_command_or_option(
    argv: tuple[str, ...], message: str, hint: str, llmx: Llmx, rows: Path
) -> None:
    """The nearest command or option is named."""
    assert_refused(llmx(*argv), message, hint)


@pytest.mark.parametrize(
    ("option", "message", "hint"),
    SETTINGS,
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_value(
    option: tuple[str, ...], message: str, hint: str, llmx: Llmx, mock: Mock, rows: Path
) -> None:
    """An option's wrong value is told with what would be right, and nobody is called."""
    before = rows.read_bytes()
    server = mock.openai[2:] if option[0] == "-m" else mock.openai
    assert_refused(llmx("extract", *GOOD, *server, *option), message, hint)
    assert mock.calls == 0
    assert rows.read_bytes() == before


@pytest.mark.parametrize(("spec", "message", "hint"), SCHEMAS, ids=lambda value: str(value)[:20])
def test_a_wrong_schema(spec: str, message: str, hint: str, llmx: Llmx, mock: Mock, rows: Path) -> None:
    """A schema that cannot be had is told with file and line, without a traceback of ours."""
    for name, text in FILES.items():
        (llmx.cwd / name).write_text(text, encoding="utf-8")
    assert_refused(llmx("extract", "rows.jsonl", "-s", spec, *mock.openai), message, hint)
    assert mock.calls == 0


@pytest.mark.parametrize(("name", "message", "hint"), INPUTS, ids=lambda value: str(value)[:20])
def test_a_wrong_input(name: str, message: str, hint: str, llmx: Llmx, mock: Mock, rows: Path) -> None:
    """An input that is not there, or that says nothing of its format, is told before any call."""
    (llmx.cwd / "empty").mkdir()
    (llmx.cwd / "rows.xyz").write_text("x")
    (llmx.cwd / "twice.csv").write_text("a,a\n1,2\n")
    assert_refused(llmx("extract", name, "-s", "name, age int", *mock.openai), message, hint)
    assert mock.calls == 0


NUMBERS = [
    "temperature",
    "max-output-tokens",
    "limit",
    "sample",
    "seed",
    "concurrency",
    "rpm",
    "tpm",
    "votes",
    "min-confidence",
    "retries",
    "workers",
]


@pytest.mark.parametrize("option", [*NUMBERS, "reasks"])
def test_a_number_that_is_none(option: str, llmx: Llmx, mock: Mock, rows: Path) -> None:
    """A word where a number belongs is told with the option's name and the word, wherever it comes from."""
    message = "'many': input should be a valid "
    variable = "LLMX_" + option.upper().replace("-", "_")
    by_flag = llmx("extract", *GOOD, *mock.openai, f"--{option}", "many")
    assert_refused(by_flag, f"--{option} {message}", "")
    by_variable = llmx("extract", *GOOD, *mock.openai, **{variable: "many"})
    assert_refused(by_variable, f"--{option} (from {variable}) {message}", "")
    (llmx.cwd / "llmx.toml").write_text(f'{option} = "many"\n')
    by_file = llmx("extract", *GOOD, *mock.openai)
    assert_refused(by_file, f"--{option} (from the config file) {message}", "")


def test_numbers_of_a_config_file_are_numbers(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """TOML's integers, floats and booleans are taken as they are meant."""
    (llmx.cwd / "llmx.toml").write_text("limit = 2\ntemperature = 0.5\nmeta = true\nmax-failures = 1\n")
    done = llmx("extract", *GOOD, *mock.openai)
    assert (done.code, done.out.count("_llmx")) == (0, 2)
    (llmx.cwd / "llmx.toml").write_text("limit = true\n")
    assert_refused(
        llmx("extract", *GOOD, *mock.openai),
        "--limit (from the config file) 'True': input should be a valid integer",
        "",
    )


def test_a_table_in_a_config_file(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """Options have no sections."""
    (llmx.cwd / "llmx.toml").write_text("[extract]\nlimit = 2\n")
    message = "'extract' is a table"
    assert_refused(llmx("extract", *GOOD, *mock.openai), message, "options stand at the top level")


def test_a_second_model(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """It is asked only when the first is down, but what is wrong with it is said before anything is spent."""
    given = ("rows.jsonl", "-s", "name, age int", *mock.openai)
    assert_refused(llmx("extract", *given, "-m", "opnai/b"), "'opnai/b'", "did you mean 'openai/b'?")
    assert_refused(llmx("extract", *given, "-m", ""), "--model is empty", "")
    assert mock.calls == 0
    done = llmx("extract", *given, "-m", "openai/b", "--meta")
    assert (done.code, mock.calls) == (0, 10)
    assert {row["_llmx"]["model"] for row in done.rows} == {"mock"}


def test_a_prompt_file_without_its_at(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """Every row would get the same answer."""
    (llmx.cwd / "prompt.txt").write_text("{{ text }}")
    done = llmx("extract", *GOOD, *mock.openai, "--prompt", "prompt.txt")
    assert_refused(done, "that is a file, not a template", "--prompt @prompt.txt")
    done = llmx("extract", *GOOD, *mock.openai, "--prompt", "What is it?")
    assert_refused(done, "the template shows no column of the row", "{{ id }}")
    assert mock.calls == 0


def test_an_option_without_its_value(llmx: Llmx, rows: Path) -> None:
    """The hint is the help of the command that was meant."""
    assert_refused(
        llmx("extract", "rows.jsonl", "--limit"), "option '--limit' requires", "llmx extract --help"
    )


def test_examples_that_are_not_there(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """The option is named, or one would look for the fault among the inputs."""
    done = llmx("extract", *GOOD, *mock.openai, "--examples", "rws.jsonl")
    assert_refused(done, "--examples: no such file: 'rws.jsonl'", "did you mean 'rows.jsonl'?")


def test_no_model_names_the_models_there_are(llmx: Llmx, rows: Path) -> None:
    """Without keys, the hint is the embedded model."""
    assert llmx("extract", *GOOD).err == (
        "error: no model: give one with -m, LLMX_MODEL or a config file\n"
        "hint: -m local (a small embedded model, no key)\n"
    )


def test_no_model_names_models_for_the_keys_that_are_set(llmx: Llmx, rows: Path) -> None:
    """With a key, a model of its provider comes first."""
    done = llmx("extract", *GOOD, ANTHROPIC_API_KEY="secret-key")
    assert done.code == 2
    assert done.err.splitlines()[1].startswith("hint: -m anthropic/")
    assert "secret-key" not in done.err


def test_a_missing_key(llmx: Llmx, rows: Path) -> None:
    """A provider without its key is exit code 4, before any call."""
    done = llmx("extract", *GOOD, "-m", "openai/gpt-5-mini")
    assert (done.code, done.out) == (4, "")
    assert done.err == (
        "error: no key for openai: OPENAI_API_KEY is not set\nhint: export OPENAI_API_KEY=…\n"
    )


def test_a_default_errors_file_that_is_the_input(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """`out.errors.jsonl -o out.jsonl` would end by deleting its own input."""
    rows.rename(llmx.cwd / "out.errors.jsonl")
    done = llmx("extract", "out.errors.jsonl", "-s", "name, age int", *mock.openai, "-o", "out.jsonl")
    assert_refused(done, "the failed rows of 'out.jsonl'", "llmx retry out.jsonl")
    assert (llmx.cwd / "out.errors.jsonl").exists()


def test_an_unreadable_input(llmx: Llmx, mock: Mock, rows: Path) -> None:
    """A file that may not be read is refused like one that is not there."""
    rows.chmod(0)
    if _may_read_anyway(rows):
        pytest.skip("the superuser may read every file")
    assert_refused(llmx("extract", *GOOD, *mock.openai), "cannot read 'rows.jsonl': Permission denied", "")


def _may_read_anyway(path: Path) -> bool:
    try:
        path.open("rb").close()
    except OSError:
        return False
    return True


def test_bad_lines_are_error_rows(llmx: Llmx, mock: Mock) -> None:
    """A line that is no row is told with its number, and the others go on."""
    (llmx.cwd / "rows.jsonl").write_bytes(b'{"id": 1}\n{"id": \n{"id": 3}\n')
    done = llmx("extract", *GOOD, *mock.openai, "-o", "out.jsonl")
    assert done.code == 3
    assert "  1 × unreadable_row: rows.jsonl:2: " in done.err
    assert done.err.endswith("\nfailed rows: out.errors.jsonl\n")


def test_an_empty_input(llmx: Llmx, mock: Mock) -> None:
    """No rows are exit code 0, with a note."""
    (llmx.cwd / "rows.jsonl").write_bytes(b"")
    done = llmx("extract", *GOOD, *mock.openai)
    assert (done.code, done.out, done.err) == (0, "", "0 rows: nothing to do\n")


def test_a_dead_key(llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path) -> None:
    """One message, exit code 4, at most three calls, and the command that resumes."""
    mock = provider(MockSettings(keys=("right",)))
    done = llmx("extract", *GOOD, *mock.openai, "-o", "out.jsonl", OPENAI_API_KEY="sk-wrong-key")
    assert done.code == 4
    assert mock.calls <= 3
    lines = done.err.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == [
        "error: openai: Incorrect API key provided: sk******. (401)"
    ]
    assert "hint: check the key in OPENAI_API_KEY" in lines
    assert "sk-wrong-key" not in done.err
    assert lines[-1].startswith("resume: llmx extract rows.jsonl -s 'name, age int' ")


def test_nothing_resumes_without_a_store(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """No command is called so that would pay for everything again."""
    mock = provider(MockSettings(keys=("right",)))
    done = llmx("extract", *GOOD, *mock.openai, "--no-store", OPENAI_API_KEY="sk-wrong-key")
    last = "the same command starts from the first row, since nothing is kept (--no-store)"
    assert done.err.splitlines()[-1] == last
    assert "resume:" not in done.err


def test_an_unknown_model(llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path) -> None:
    """Exit code 2, and no advice to run the same wrong command again."""
    mock = provider(MockSettings(models=("other",)))
    done = llmx("extract", *GOOD, *mock.openai, "-o", "out.jsonl")
    assert done.code == 2
    assert mock.calls <= 3
    assert done.err.count("error: ") == 1
    assert "no model 'mock'" in done.err
    assert "resume: " not in done.err


def test_spent_quota(llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path) -> None:
    """Exit code 7, one message, and the command that resumes."""
    mock = provider(MockSettings(quota_after=0))
    done = llmx("extract", *GOOD, *mock.openai, "-o", "out.jsonl")
    assert done.code == 7
    assert mock.calls <= 3
    assert done.err.count("error: ") == 1
    assert done.err.splitlines()[-1].startswith("resume: llmx extract ")


def test_an_answer_that_stays_invalid(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """The failures are grouped, the raw answers kept, and the exit code is 3."""
    mock = provider(MockSettings(malformed_rate=1.0))
    done = llmx("extract", *GOOD, *mock.openai, "-o", "out.jsonl", "--reasks", "0")
    assert done.code == 3
    assert "  10 × invalid_answer: " in done.err
    assert done.err.endswith("failed rows: out.errors.jsonl\nagain: llmx retry out.jsonl\n")
