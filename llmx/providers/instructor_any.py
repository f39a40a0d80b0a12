"""Every other provider that instructor knows, through the provider's own SDK.

Instructor's factory makes the SDK's client; the SDK's own async method, unwrapped from instructor's
retries, makes the calls; instructor's mode handlers build what it is called with and read what it
returns. Bodies stay plain JSON: where a handler builds SDK objects (google, xai), the body is what the
handler is given, and the handler runs at the last moment.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from llmx.errors import ServerError, UsageError
from llmx.providers.addresses import base_url_variable, checked_address
from llmx.providers.answers import embedded
from llmx.providers.catalog import CatalogEntry
from llmx.providers.codec import Body, HandlerCodec, handlers_for
from llmx.providers.modes import Plan
from llmx.providers.posting import counted
from llmx.providers.status import Call, from_answer, translate
from llmx.providers.wording import cleaned, without_key
from llmx.schemas import Schema
from llmx.types import Completion, Finish, Request, Usage

if TYPE_CHECKING:
    from instructor import AsyncInstructor
    from instructor.v2.core.registry import ModeHandlers
    from pydantic import BaseModel

__all__ = ["SdkProvider", "SdkWire", "client_for", "read_finish", "read_usage", "sdk_codec"]

CORRECTIONS = "corrections"
"""Where a body that is not the wire's keeps its re-asks: pairs of an answer's body and an error."""

_PER_CALL: Mapping[str, Body] = {"cohere": {"request_options": {"max_retries": 0}}}
"""What switches an SDK's own retries off where its client has no setting for it."""

_MODEL_IN_CLIENT = frozenset({"gemini", "vertexai"})
"""SDKs whose client is made for one model and whose calls name none."""

_FINISH: Mapping[str, Finish] = {
    **dict.fromkeys(
        ("stop", "end_turn", "complete", "stop_sequence", "tool_call", "tool_calls", "tool_use"), "stop"
    ),
    **dict.fromkeys(("length", "max_tokens", "model_length"), "length"),
    **dict.fromkeys(
        ("content_filter", "refusal", "safety", "recitation", "prohibited_content", "blocklist", "spii"),
        "refusal",
    ),
}


@dataclass(slots=True)
class SdkWire:
    """One provider's format: what its SDK is called with, and what it returns.

    Args:
        handlers: instructor's, for the provider and mode.
        model: shows instructor the schema as sent, and gives answers back as text.
        kind: the class of the SDK's responses, learnt from the first one.
    """

    entry: CatalogEntry
    handlers: ModeHandlers
    model: type[BaseModel]
    kind: type[Any] | None = field(default=None, init=False)

    def arguments(self, body: Mapping[str, Any]) -> Body:
        """What the SDK's method is called with, for messages in OpenAI's form."""
        given = {**body, "messages": [dict(message) for message in body["messages"]]}
        if self.entry.handlers in _MODEL_IN_CLIENT:
            given.pop("model", None)
        with warnings.catch_warnings():
            # Handlers warn of details of the provider's format that no user of ours can change.
            warnings.simplefilter("ignore")
            _, arguments = self.handlers.request_handler(self.model, given)
        arguments.pop("_cohere_client_version", None)
        return dict(arguments)

    def corrected(self, arguments: Body, response: Any, error: Exception) -> Body:
        """The arguments with instructor's correction added."""
        if response is not None:
            return dict(self.handlers.reask_handler(arguments, response, error))
        # Without the SDK's response object (a run resumed before its first call) only OpenAI's
        # handler has words; they are a plain user message, which any provider takes.
        return dict(handlers_for("openai", "tools").reask_handler(arguments, None, error))

    def response(self, body: Mapping[str, Any]) -> Any:
        """The SDK's own object from its dumped body; None when its class is not known yet."""
        if self.kind is None or not body:
            return None
        if self.kind is dict:
            return dict(body)
        validate = getattr(self.kind, "model_validate", None)
        return validate(body) if validate else None

    def dump(self, response: Any, secret: str = "") -> Body:
        """A response as JSON, without the key that was sent."""
        self.kind = type(response)
        if isinstance(response, dict):
            return response
        if hasattr(response, "model_dump"):
            # google's own `parsed` repeats the answer, and does not load again
            dumped = response.model_dump_json(exclude={"parsed", "sdk_http_response"}).encode()
            return dict(orjson.loads(without_key(dumped, secret)))
        return {"response": str(response)}

    def text(self, response: Any, dumped: Mapping[str, Any]) -> str:
        """The answer's JSON text; whatever text there is when it is no such answer."""
        try:
            return str(self.handlers.response_parser(response, self.model))
        except Exception:  # noqa: BLE001  each handler has its own for "no tool call", "cut", "no text"
            # Validating the plain text instead tells the user, and the model, what is wrong.
            return _any_text(dumped)


def sdk_codec(
    schema: Schema, wire: SdkWire, plan: Plan, parameters: Mapping[str, Any], *, cap_is_ours: bool
) -> HandlerCodec:
    """The codec: the wire's own body where that is plain JSON, else what its handler is given."""

    def plain(messages: list[Body]) -> Body:
        return wire.arguments({**parameters, "messages": messages})

    def portable(messages: list[Body]) -> Body:
        asked = {"mode": plan.mode, "schema": dict(plan.wire.schema)}
        return {**parameters, **asked, "messages": messages}

    if _is_plain(plain([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}])):
        return HandlerCodec(schema, plain, wire.corrected, wire.response, cap_is_ours)
    return HandlerCodec(schema, portable, _noted, dict, cap_is_ours)


def _is_plain(body: Body) -> bool:
    """Whether a body is JSON whose messages a row's text can be put into."""
    try:
        orjson.dumps(body)
        return all(isinstance(message["content"], str) for message in body["messages"])
    except (TypeError, KeyError):
        return False


def _noted(body: Body, response: Any, error: Exception) -> Body:
    """A re-ask put down in the body, to be phrased when it is sent."""
    corrections = [*body.get(CORRECTIONS, []), {"answer": response, "error": str(error)}]
    return {**body, CORRECTIONS: corrections}


class SdkProvider:
    """Sends requests through an SDK's own method.

    Args:
        create: the SDK's method.
        client: what to close in the end; None when the SDK has no client object.
        price: US dollars for a model's usage.
        call: what errors may tell of where the call went.
    """

    def __init__(
        self,
        create: Callable[..., Any],
        client: Any,
        wire: SdkWire,
        *,
        price: Callable[[str, Usage], Decimal | None],
        call: Call,
    ) -> None:
        self._create = create
        self._client = client
        self._wire = wire
        self._price = price
        self._call = call

    async def complete(self, request: Request) -> Completion:
        """See `Provider.complete`."""
        try:
            response = self._create(**self._arguments(request.body))
            if inspect.isawaitable(response):
                response = await response
        except Exception as error:
            raise translate(error, replace(self._call, model=request.model, row=request.row)) from error
        return self._completion(response, request)

    async def aclose(self) -> None:
        """See `Provider.aclose`."""
        for http in _http_clients(self._client):
            closing = http.aclose() if hasattr(http, "aclose") else http.close()
            if inspect.isawaitable(closing):
                await closing

    def _arguments(self, body: Mapping[str, Any]) -> Body:
        extra = _PER_CALL.get(self._wire.entry.name, {})
        if "schema" not in body:
            return {**body, **extra}
        given = {k: v for k, v in body.items() if k not in ("mode", "schema", CORRECTIONS)}
        arguments = self._wire.arguments(given)
        for correction in body.get(CORRECTIONS, []):
            answer = self._wire.response(correction["answer"])
            arguments = self._wire.corrected(arguments, answer, ValueError(correction["error"]))
        return {**arguments, **extra}

    def _completion(self, response: Any, request: Request) -> Completion:
        body = self._wire.dump(response, self._call.secret)
        if (failure := embedded(body, {})) is not None:
            raise from_answer(failure, replace(self._call, model=request.model, row=request.row))
        if body.get("choices", True) in ([], None):
            said = f"{self._call.base_url} answered without a completion"
            raise ServerError(said, maybe_billed=True)
        usage = counted(read_usage, body)
        usage = Usage(cost=None) if usage is None else usage.costing(self._price(request.model, usage))
        model = body.get("model") or body.get("model_version") or request.model
        told = self._wire.text(response, body).encode("utf-8", "surrogatepass")
        text = without_key(told, self._call.secret).decode("utf-8", "surrogatepass")
        return Completion(text, usage, str(model), read_finish(body), body)


def read_finish(body: Mapping[str, Any]) -> Finish:
    """Why the model stopped, wherever the provider says it and whatever it calls it."""
    first: Mapping[str, Any] = next(iter(body.get("choices") or body.get("candidates") or []), {})
    reason = (
        first.get("finish_reason")
        or body.get("finish_reason")
        or body.get("stop_reason")
        or body.get("stopReason")
    )
    return _FINISH.get(str(reason).lower().removeprefix("finish_reason_"), "other")


def read_usage(body: Mapping[str, Any]) -> Usage | None:
    """What a call used, under any of the names providers have for it; None when they do not say."""
    counts = body.get("usage") or body.get("usage_metadata")
    if not isinstance(counts, Mapping):
        return None
    counts = counts.get("tokens") or counts  # cohere keeps billed units beside what was really read

    def count(*names: str, of: Mapping[str, Any] = counts) -> int:
        return next((int(of[name]) for name in names if of.get(name)), 0)

    details = counts.get("prompt_tokens_details") or {}
    reasoning = counts.get("completion_tokens_details") or {}
    thought = count("thoughts_token_count")  # google counts these beside the candidates' tokens
    return Usage(
        input_tokens=count("prompt_tokens", "input_tokens", "prompt_token_count", "inputTokens"),
        output_tokens=count("completion_tokens", "output_tokens", "candidates_token_count", "outputTokens")
        + thought,
        cached_tokens=count("cached_content_token_count") or count("cached_tokens", of=details),
        reasoning_tokens=thought or count("reasoning_tokens", of=reasoning),
    )


def _any_text(value: Any) -> str:
    """The first text in a dumped response, "" when there is none."""
    return next(_texts(value), "")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name in ("content", "text") and isinstance(inner, str) and inner:
                yield inner
            else:
                yield from _texts(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from _texts(inner)


def client_for(
    entry: CatalogEntry, model: str, mode: str, key: str, *, base_url: str | None, timeout: float
) -> tuple[Callable[..., Any], Any, str]:
    """The SDK's own async method, its client, and the address it calls.

    Args:
        base_url: another address than the SDK's own, checked.
        timeout: seconds; the SDK's own limit is set above it, so that ours is the one that counts.

    Raises:
        UsageError: the SDK cannot be set up, has no other address, or has one that is no plain URL.
    """
    import instructor
    from instructor.v2.core.mode import Mode

    for name in ("instructor", entry.module.partition(".")[0]):
        # Both write to stderr, through logging's last resort, what is raised or harmless anyway.
        logging.getLogger(name).addHandler(logging.NullHandler())
    options: Body = {"api_key": key} if entry.keys else {}
    if entry.handlers == "genai":
        options["http_options"] = _google_transport(base_url)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # instructor deprecates some of its own provider names
            made: AsyncInstructor = instructor.from_provider(
                f"{entry.name}/{model}", async_client=True, mode=Mode[mode.upper()], **options
            )
    except Exception as error:
        raise UsageError(f"{entry.name} cannot be set up: {cleaned(str(error), secret=key)}") from error
    _quieten(made.client, timeout)
    url = _address(entry, made.client, base_url)
    return made.create_fn.__wrapped__, made.client, url  # type: ignore[attr-defined]  # functools.wraps sets it


def _google_transport(base_url: str | None) -> Body:
    """Google's SDK would use aiohttp where that is installed, which follows redirects whatever is asked."""
    from httpx2 import AsyncClient

    options: Body = {"httpx_async_client": AsyncClient(follow_redirects=False, timeout=None)}
    return {**options, "base_url": base_url} if base_url else options


def _quieten(client: Any, timeout: float) -> None:
    """No retries, no redirects and no time limit but ours."""
    if hasattr(client, "max_retries"):
        client.max_retries = 0
        client.timeout = timeout + 30
    for http in _http_clients(client):
        http.follow_redirects = False


def _http_clients(client: Any) -> list[Any]:
    """The httpx clients in an SDK's client: each SDK keeps them elsewhere, none has a setting for redirects."""
    found: dict[int, Any] = {}
    seen: set[int] = set()
    level = [client]
    for _ in range(5):
        level = [value for owner in level for value in _members(owner) if id(value) not in seen]
        seen.update(map(id, level))
        found.update({id(value): value for value in level if hasattr(value, "follow_redirects")})
    return list(found.values())


def _members(owner: Any) -> list[Any]:
    values = getattr(owner, "__dict__", {}).values()
    return [
        v for v in values if hasattr(v, "__dict__") and not inspect.isroutine(v) and not inspect.isclass(v)
    ]


def _address(entry: CatalogEntry, client: Any, base_url: str | None) -> str:
    if hasattr(client, "base_url"):  # the SDKs made by Stainless: groq, cerebras, writer
        if base_url:
            client.base_url = base_url
        # The SDK may have it from the environment of the process, which nobody has checked.
        return checked_address(str(client.base_url), entry, base_url_variable(entry))
    if base_url and entry.handlers != "genai":
        raise UsageError(
            f"--base-url: {entry.name}'s SDK takes no other address",
            hint="for an OpenAI-compatible server, -m openai/NAME --base-url URL",
        )
    return base_url or entry.module
