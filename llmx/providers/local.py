"""The embedded model: a GGUF file run in this process by llama.cpp, through `xllamacpp`.

It stands where every provider stands, innermost in a call. It takes OpenAI chat-completions bodies with a
JSON Schema as response format, and holds the model to that schema by a grammar. One row is decoded at a
time: on two cores, four at once gave 13 % more rows per second for four times the context memory.
It does not fetch weights (see `weights`), and knows no tools.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from llmx.detached import Progress
from llmx.environment import Environment, is_file
from llmx.errors import LlmxError, RequestRejected, RowRefused, ServerError, UnknownModel, UsageError
from llmx.providers.cores import free_cores
from llmx.providers.grammar import PROBE_SIGN, probe, schema_grammar
from llmx.providers.spans import span_grammar
from llmx.providers.weights import ensure_weights
from llmx.text import nearest
from llmx.types import Completion, Ear, Finish, Request, Usage

__all__ = [
    "CONCURRENCY",
    "MAX_OUTPUT_TOKENS",
    "MODEL",
    "MODEL_NOTE",
    "LocalProvider",
    "check_local",
    "local_model",
]

MODEL = "SmolLM2-135M-Instruct"

MODEL_NOTE = (
    f"{MODEL} is a small model: good for a first run, for CI and for offline tests, "
    "not for labels (35 of 90 right on three-class sentiment)"
)

CONCURRENCY = 1
"""Calls in flight that make sense: more would only wait in line while their timeouts run."""

MAX_OUTPUT_TOKENS = 1024
"""A sensible cap: a small model that loops never stops by itself, and 1,024 tokens are 10-16 seconds."""

CONTEXT_TOKENS = 8192
"""What the embedded model was trained on; llama.cpp takes less where a file was trained on less."""

FINISHES: Mapping[str, Finish] = {"stop": "stop", "length": "length", "content_filter": "refusal"}
DRAWN = 0.8
"""The temperature of votes after the first, llama.cpp's own default: at 0 all of them would be the same."""

PASSED_ON = ("temperature", "top_p", "seed", "stop", "presence_penalty", "frequency_penalty", "logprobs")


def local_model(name: str, env: Environment, progress: Progress) -> tuple[Path, str]:
    """The file and the name of the model that `-m local` or `-m local//path/to/file.gguf` means.

    Args:
        name: what follows "local" and a slash: "" for the embedded model, else a path.
        env: its home is where fetched weights are kept, its variables say where they are fetched from.
        progress: called with bytes done and bytes in all while the embedded model is fetched.

    Raises:
        UsageError: xllamacpp is not installed, the file is not there or no GGUF, or no weights could be had.
    """
    check_local(name)
    if not name:
        return ensure_weights(env.home, progress, variables=env.variables, cwd=env.cwd), MODEL
    path = Path(name).expanduser()
    return path, path.stem


def check_local(name: str) -> None:
    """What can be said of a local model before anything is fetched.

    Args:
        name: see `local_model`.

    Raises:
        UsageError: xllamacpp is not installed, or the file is not there or no GGUF.
    """
    if find_spec("xllamacpp") is None:
        raise UsageError(
            "the local model needs xllamacpp, which is not installed", hint="pip install xllamacpp"
        )
    if name:
        _check_gguf(Path(name).expanduser())


def _check_gguf(path: Path) -> None:
    if not is_file(path):
        folder = path.parent
        close = nearest(path.name, (p.name for p in folder.iterdir())) if folder.is_dir() else None
        hint = f"did you mean {str(folder / close)!r}?" if close else ""
        raise UsageError(f"no model file {str(path)!r}", hint=hint)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise UsageError(f"cannot read the model file {str(path)!r}: {error.strerror}") from error
    if magic != b"GGUF":
        raise UsageError(f"{str(path)!r} is not a GGUF model file", hint="-m local//path/to/model.gguf")


class LocalProvider:
    """Answers requests with one GGUF model, loaded at the first of them.

    Args:
        path: the GGUF file.
        model: its name in completions.
        spans: whether free-form strings must be copied from the row, see `spans`.
    """

    def __init__(self, path: Path, model: str, *, spans: bool = False) -> None:
        self._path = path
        self._model = model
        self._spans = spans
        self._server: Any = None
        self._accepted: set[str] = set()
        # A single thread owns the engine, so neither loading nor answering needs a lock.
        self._executor = ThreadPoolExecutor(1, "llmx-local")

    async def complete(self, request: Request) -> Completion:
        """See `Provider.complete`; a cancelled call stops the model at its next token.

        Raises:
            RowRefused: the row is longer than the model's context.
            RequestRejected: the body or its schema is beyond this engine.
            UnknownModel: the file does not load.
        """
        abandoned = threading.Event()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(
                self._executor, self._answer, request, abandoned, _hearing(request.ear, loop, abandoned)
            )
        except asyncio.CancelledError:
            abandoned.set()
            raise

    async def aclose(self) -> None:
        """Free the model's memory; a later call would load it again."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._unload)

    def _unload(self) -> None:
        self._server = None

    def _answer(
        self, request: Request, abandoned: threading.Event, hear: Callable[[str], None] | None
    ) -> Completion:
        schema = _schema(request.body)
        if self._server is None:
            self._server = _load(self._path)
        grammar = None if schema is None else self._grammar(schema, request.row)
        answer = _Answer(abandoned, hear)
        self._ask(_payload(request, grammar), answer)
        return answer.completion(self._model)

    def _grammar(self, schema: Mapping[str, Any], row: str) -> str:
        grammar = span_grammar(schema, row) if self._spans else schema_grammar(schema)
        key = json.dumps(schema)
        if key not in self._accepted:
            self._require_accepted(grammar)
            self._accepted.add(key)
        return grammar

    def _require_accepted(self, grammar: str) -> None:
        answer = _Answer(threading.Event())
        messages = [{"role": "user", "content": "Answer."}]
        self._ask(
            {"messages": messages, "max_tokens": 1, "temperature": 0, "grammar": probe(grammar)}, answer
        )
        if not answer.text.startswith(PROBE_SIGN):
            raise RequestRejected(
                "the local model cannot be held to this schema: a part of it contradicts itself or is unknown",
                hint="llmx schema check",
            )

    def _ask(self, payload: Mapping[str, Any], answer: _Answer) -> None:
        streamed = {**payload, "stream": True, "stream_options": {"include_usage": True}}
        try:
            self._server.handle_chat_completions(streamed, answer.take)
        except (ValueError, RuntimeError) as error:
            raise RowRefused(f"the local model refuses the request: {_first_line(error)}") from error
        if answer.error is not None:
            raise answer.error


def _hearing(
    ear: Ear | None, loop: asyncio.AbstractEventLoop, abandoned: threading.Event
) -> Callable[[str], None] | None:
    """A function by which the engine's thread lets an ear hear the answer, on the loop's."""
    if ear is None:
        return None
    ear.begin()

    def heard(piece: str) -> None:
        if not abandoned.is_set():
            ear.hear(piece)

    def say(piece: str) -> None:
        if not abandoned.is_set():  # else the loop may be gone
            loop.call_soon_threadsafe(heard, piece)

    return say


class _Answer(Struct):
    """What the engine has said so far.

    Args:
        abandoned: set when nobody waits for the answer any more.
        hear: is given each piece of the text, on the engine's thread.
    """

    abandoned: threading.Event
    hear: Callable[[str], None] | None = None
    text: str = ""
    finish: Finish = "other"
    last: dict[str, Any] = field(default_factory=dict)
    tokens: list[Any] = field(default_factory=list)
    error: LlmxError | None = None

    def take(self, chunk: Any) -> bool:
        """Note one chunk of the stream; True stops the engine."""
        if "error" in chunk:
            self.error = _mapped(chunk["error"])
            return True
        for choice in chunk.get("choices") or ():
            piece = choice.get("delta", {}).get("content") or ""
            self.text += piece
            if self.hear is not None:
                self.hear(piece)
            self.tokens += (choice.get("logprobs") or {}).get("content") or ()
            if reason := choice.get("finish_reason"):
                self.finish = FINISHES.get(reason, "other")
        self.last = chunk
        return self.abandoned.is_set()

    def completion(self, model: str) -> Completion:
        """The whole answer; its body is in the shape of an unstreamed one."""
        usage = self.last.get("usage") or {}
        details = usage.get("prompt_tokens_details") or {}
        message = {"role": "assistant", "content": self.text}
        choice = {"index": 0, "message": message, "finish_reason": self.finish}
        if self.tokens:
            choice["logprobs"] = {"content": self.tokens}
        body = {**self.last, "object": "chat.completion", "model": model, "choices": [choice]}
        counted = Usage(
            input_tokens=usage.get("prompt_tokens", 0),
            output_tokens=usage.get("completion_tokens", 0),
            cached_tokens=details.get("cached_tokens", 0),
            cost=Decimal(0),
        )
        return Completion(text=self.text, usage=counted, model=model, finish=self.finish, body=body)


def _payload(request: Request, grammar: str | None) -> dict[str, Any]:
    body = request.body
    # Without a temperature the same row gives the same answer, and further votes others; with one, the sample's number does.
    temperature = DRAWN if request.sample else 0
    payload: dict[str, Any] = {
        "temperature": temperature,
        "seed": request.sample,
        "messages": body["messages"],
    }
    payload.update({name: body[name] for name in PASSED_ON if body.get(name) is not None})
    payload["max_tokens"] = body.get("max_completion_tokens") or body.get("max_tokens") or MAX_OUTPUT_TOKENS
    return payload if grammar is None else {**payload, "grammar": grammar}


def _load(path: Path) -> Any:
    """The engine with the model in memory; 0.4-0.8 s for the embedded one."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.verbosity = -1  # everything that llama.cpp would say on stderr
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 1
    params.cache_ram_mib = 0  # by default the states of earlier prompts may grow to 8 GiB
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = free_cores()
    # The engine cannot but listen on a loopback port; nobody else is to read rows or ask questions there.
    params.api_keys = [secrets.token_urlsafe(32)]
    params.endpoint_slots = False
    params.ui = False
    params.warmup = False
    try:
        server = xllamacpp.Server(params)
        # Instead of its own warm-up: a server that is closed before its first answer waits for itself for ever.
        server.handle_chat_completions({"messages": [{"role": "user", "content": ""}], "max_tokens": 1})
        return server
    except (RuntimeError, ValueError) as error:
        raise UnknownModel(f"the model {str(path)!r} does not load: {_first_line(error)}") from error


def _schema(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema that the answer must fit, None when the body names none."""
    if body.get("tools"):
        raise RequestRejected("the local model has no tools", hint="--mode json_schema")
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        schema: dict[str, Any] = wanted["json_schema"]["schema"]
        return schema
    return {"type": "object"} if wanted.get("type") == "json_object" else None


def _mapped(error: Mapping[str, Any]) -> LlmxError:
    if error.get("type") == "exceed_context_size_error":
        return RowRefused(
            f"the prompt has {error.get('n_prompt_tokens')} tokens, "
            f"the local model's context holds {error.get('n_ctx')}",
            hint="show the model fewer columns with --input, or split the row",
        )
    message = _first_line(error.get("message", "unknown error"))
    if error.get("code", 500) < 500:
        return RowRefused(f"the local model refuses the request: {message}")
    return ServerError(f"the local model failed: {message}")


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0][:200]
