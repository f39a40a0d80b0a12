"""Both wire formats against somebody else's server and a real model: llama.cpp's own, in xllamacpp.

Its messages format knows no structured output, and the model is too small for tools: there the server itself
is started with a grammar, so that what is tested is the format and not the model.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rehearsal import Talk, read_rows, run_to_files, write_rows

from llmx.environment import Environment
from llmx.job import Report
from llmx.providers.grammar import schema_grammar
from llmx.providers.weights import weights_path

pytestmark = pytest.mark.local_model

ROWS = [{"id": 1, "text": "Ada Lovelace is 36."}, {"id": 2, "text": "Alan Turing was 41."}]
SCHEMA = {
    "title": "Person",
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 30}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def started(grammar: str = "") -> Any:
    """llama.cpp's server on a free port of 127.0.0.1; it ends with the object."""
    xllamacpp = pytest.importorskip("xllamacpp")
    weights = weights_path(Environment(variables=os.environ).home)
    assert weights.is_file(), "no weights: python -m llmx.providers.weights"
    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.verbosity = -1
    params.n_ctx, params.n_parallel, params.cache_ram_mib = 4096, 1, 0
    params.cpuparams.n_threads = 1  # threads that wait for each other spin, where other tests want the core
    if grammar:
        kind = xllamacpp.common_grammar_type.COMMON_GRAMMAR_TYPE_USER
        params.sampling.grammar = xllamacpp.CommonGrammar(kind, grammar)
    return xllamacpp.Server(params)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = started()
    yield running.listening_address
    del running


@pytest.fixture(scope="module")
def held_server() -> Iterator[str]:
    """The same, held to the schema whatever it is asked."""
    running = started(schema_grammar(SCHEMA))
    yield running.listening_address
    del running


def run(folder: Path, **options: Any) -> tuple[Report, Talk]:
    inputs = [str(write_rows(folder / "in.jsonl", ROWS))]
    given = {"schema": SCHEMA, "inputs": inputs, "max_output_tokens": 100, "concurrency": 1, **options}
    return asyncio.run(run_to_files(folder, given))


def test_openai_chat_completions(server: str, tmp_path: Path) -> None:
    """By json_schema the model is held to the schema, and every row has its answer."""
    report, _ = run(tmp_path, model="openai/smol", base_url=f"{server}/v1", temperature=0)
    rows = read_rows(tmp_path / "out.jsonl")
    assert report.exit_code == 0
    assert [row["id"] for row in rows] == [1, 2]
    assert all(isinstance(row["name"], str) and isinstance(row["age"], int) for row in rows)


def test_openai_usage(server: str, tmp_path: Path) -> None:
    """The server's counts are ours, and a price that nobody knows is None."""
    report, _ = run(tmp_path, model="openai/smol", base_url=f"{server}/v1", temperature=0)
    usage = report.figures.usage
    assert usage.input_tokens > 2 * 50
    assert usage.output_tokens > 2 * 5
    assert usage.cached_tokens <= usage.input_tokens
    assert usage.cost is None


def test_anthropic_messages(held_server: str, tmp_path: Path) -> None:
    """Answers of the messages format are read and validated."""
    report, _ = run(tmp_path, model="anthropic/smol", base_url=held_server, mode="json", temperature=0)
    rows = read_rows(tmp_path / "out.jsonl")
    assert report.exit_code == 0
    assert [row["id"] for row in rows] == [1, 2]
    assert all(isinstance(row["name"], str) and isinstance(row["age"], int) for row in rows)


def test_anthropic_usage(held_server: str, tmp_path: Path) -> None:
    """Cached prompt tokens, which the server counts beside the others, are within our input tokens."""
    report, _ = run(tmp_path, model="anthropic/smol", base_url=held_server, mode="json", temperature=0)
    usage = report.figures.usage
    assert usage.input_tokens > 2 * 50
    assert 0 < usage.cached_tokens < usage.input_tokens


def test_a_model_that_uses_no_tool(server: str, tmp_path: Path) -> None:
    """Prose where a tool call was asked for is an invalid answer, re-asked and then an error row."""
    report, _ = run(
        tmp_path, model="anthropic/smol", base_url=server, mode="tools", temperature=0, reasks=1, limit=1
    )
    errors = read_rows(tmp_path / "out.errors.jsonl")
    assert (report.figures.ok, report.figures.failed) == (0, 1)
    assert errors[0]["_error"]["type"] in ("invalid_answer", "truncated_answer")
    assert errors[0]["_error"]["raw"]


def test_a_row_that_is_too_long(server: str, tmp_path: Path) -> None:
    """The server refuses it for its length: that row fails, the next is answered."""
    rows = [{"id": 1, "text": "word " * 6000}, ROWS[1]]
    write_rows(tmp_path / "long.jsonl", rows)
    report, _ = run(
        tmp_path, inputs=["long.jsonl"], model="openai/smol", base_url=f"{server}/v1", temperature=0
    )
    assert (report.figures.ok, report.figures.failed) == (1, 1)
    assert read_rows(tmp_path / "out.errors.jsonl")[0]["_error"]["type"] == "row_refused"
