"""From `--model` to an endpoint: a provider that makes calls and a codec that speaks its format.

Everything that can be wrong is found here, before the first call: the name, the key, the SDK, the mode,
the schema. SDKs are imported here and not before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from llmx.detached import Progress, detached
from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.pricing import price
from llmx.providers.addresses import given_address, server_address
from llmx.providers.catalog import CATALOG, CatalogEntry, ModelName, parse_model
from llmx.providers.codec import Codec, handlers_for, modes_of, wire_model
from llmx.providers.keys import api_key
from llmx.providers.modes import Mode, Plan, caps_by_completion, choose
from llmx.providers.posting import PostingProvider, check_proxies
from llmx.providers.status import Call
from llmx.providers.transports import TransportName, is_proxied
from llmx.schemas import Schema, WireSchema
from llmx.types import Listener, Provider, Usage

__all__ = ["DEFAULT_CAP", "Endpoint", "Prices", "check_callable", "connect", "load_adapter"]

DEFAULT_CAP = 4096
"""Output tokens asked for when the user names no limit: always sent, so that a loop ends."""

INJECTED = 512
"""Tokens that Anthropic puts before a prompt with tools, at most: 313 to 346 for today's models
(https://docs.claude.com/en/docs/agents-and-tools/tool-use/overview#pricing), and room for the next ones."""

PLACES_SHOWN = 5
"""Parts of a schema that a note names, at most."""


class Endpoint(Struct, frozen=True):
    """One model at one address, ready for calls.

    Args:
        id: "provider base-url": what `Request.endpoint` carries.
        provider: makes calls.
        codec: builds bodies and reads answers.
        model: the model's name as the provider knows it.
        mode: how structure is asked for: "json_schema", "tools", "json" or "md_json".
        name: the provider's name in the catalog.
        base_url: where calls go.
        given: the address that the user gave, None for the provider's own.
        called: the name that the config file gives it, "" for none.
        wire: the schema as it is sent, and what was changed in it.
        price: US dollars for what a model has used, None when that is not known.
        prices: the price list's id for `llmx.pricing`, None when there is none.
        injected: tokens that the provider adds to what it is sent, at most.
        listen: whoever is given to it is told what responses say of the provider's limits.
        concurrency: calls it can serve at a time, None when that is for the pipeline to find out.
        note: what a user of this model should know, "" for nothing.
    """

    id: str
    provider: Provider
    codec: Codec
    model: str
    mode: str
    name: str
    base_url: str
    wire: WireSchema
    price: Callable[[str, Usage], Decimal | None]
    prices: str | None = None
    injected: int = 0
    listen: Callable[[Listener], None] = lambda listener: None
    concurrency: int | None = None
    note: str = ""
    given: str | None = None
    called: str = ""

    @property
    def label(self) -> str:
        """As a person would write it: "openai/gpt-4o-mini"."""
        return f"{self.name}/{self.model}" if self.model else self.name


class Prices(Struct, frozen=True):
    """How calls are priced that no list has a price for.

    Args:
        input, output: US dollars per million tokens, as the user says; None where the lists apply.
        elsewhere: the provider's own list holds for another server that is asked in its stead, too.
    """

    input: Decimal | None = None
    output: Decimal | None = None
    elsewhere: bool = False


class _Wanted(Struct, frozen=True):
    """What the user asked of an endpoint. See `connect` for the fields."""

    model: ModelName
    entry: CatalogEntry
    schema: Schema
    env: Environment
    base_url: str | None
    mode: Mode
    temperature: float | None
    max_output_tokens: int | None
    key_file: Path | None
    prices: Prices
    sdk: bool
    plans: Path | None
    logprobs: bool

    @property
    def cap_is_ours(self) -> bool:
        """Whether the output cap is the default."""
        return self.max_output_tokens is None

    def parameters(self, cap: str, default: int = DEFAULT_CAP) -> dict[str, Any]:
        """What every body holds beside messages and schema; `cap` is the name of the output limit."""
        limit = self.max_output_tokens if self.max_output_tokens is not None else default
        named: dict[str, Any] = {"model": self.model.name, cap: limit}
        if self.logprobs:
            named["logprobs"] = True
        return named if self.temperature is None else {**named, "temperature": self.temperature}


async def connect(
    spec: str,
    schema: Schema,
    *,
    env: Environment,
    base_url: str | None = None,
    mode: Mode = "auto",
    temperature: float | None = None,
    max_output_tokens: int | None = None,
    timeout: float = 120.0,  # noqa: ASYNC109  it bounds later calls, not this coroutine
    spans: bool = False,
    key_file: Path | None = None,
    key_name: str | None = None,
    prices: Prices | None = None,
    transport: TransportName = "auto",
    plans: Path | None = None,
    logprobs: bool = False,
    progress: Progress = lambda done, total: None,
) -> Endpoint:
    """An endpoint for a model; no call is made yet.

    Args:
        spec: "openai/gpt-4o-mini", "local", "local//path/file.gguf", …
        base_url: another server than the provider's own.
        temperature: not sent when None.
        max_output_tokens: the output cap; None for the default of 4,096, which a cut answer may raise.
        timeout: seconds; only providers that cannot do without a limit of their own use it.
        spans: the local model may fill text fields only with spans of the row.
        key_file: NAME=KEY lines, for keys that are not in the environment.
        key_name: the variable that holds the key, in place of the provider's own.
        transport: "sdk" for the provider's SDK even where our own HTTP client would do.
        logprobs: ask for the log-probabilities of what the model writes.
        plans: a folder for what instructor makes of schemas, None to make it each time.
        progress: called with bytes done and in all while the embedded model's weights are fetched.

    A cancelled call ends at once; weights that are half fetched are kept, and the next call goes on.

    Raises:
        UsageError: the name, the mode, the address or the schema is wrong, or an SDK is missing.
        AuthenticationFailed: there is no key.
    """
    model = parse_model(spec)
    entry = CATALOG[model.provider]
    _require(spans is False or entry.wire == "local", "spans of the row are for -m local only")
    _check_installed(entry)
    if entry.wire != "local":
        check_proxies()
    if key_name is not None:
        entry = replace(entry, keys=(key_name,), needs_key=True)
    sdk = transport == "sdk"
    options = (
        base_url,
        mode,
        temperature,
        max_output_tokens,
        key_file,
        prices or Prices(),
        sdk,
        plans,
        logprobs,
    )
    wanted = _Wanted(model, entry, schema, env, *options)
    if logprobs and entry.wire not in ("openai", "local"):
        raise UsageError(f"{entry.name} tells no log-probabilities", hint="--votes 3 in place of --logprobs")
    match entry.wire:
        case "openai":
            return _openai(wanted)
        case "anthropic":
            return _anthropic(wanted)
        case "instructor":
            return _instructor(wanted, timeout)
        case "local":
            return await _local(wanted, spans, progress)


def load_adapter(spec: str) -> None:
    """Import what calls to a model will need. Raises UsageError: there is no such provider."""
    match CATALOG[parse_model(spec).provider].wire:
        case "openai":
            from llmx.providers import http
        case "anthropic":
            from llmx.providers import anthropic, http  # noqa: F401


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)


def check_callable(
    spec: str,
    variables: Mapping[str, str],
    *,
    base_url: str | None,
    key_file: Path | None,
    key_name: str | None,
) -> None:
    """Refuse a model that could not be asked, before there is a schema: nothing is opened or fetched.

    Args:
        spec, base_url, key_file, key_name: see `connect`.
        variables: of the environment.

    Raises:
        UsageError: a package, an SDK or the file of the model is not there, or the address is wrong.
        AuthenticationFailed: there is no key.
    """
    model = parse_model(spec)
    entry = CATALOG[model.provider]
    if entry.wire == "local":
        from llmx.providers.local import check_local

        return check_local(model.path or "")
    _check_installed(entry)
    if key_name is not None:
        entry = replace(entry, keys=(key_name,), needs_key=True)
    own_server = base_url is not None
    if entry.wire != "instructor":
        _, own_server = server_address(entry, base_url, variables)
    api_key(entry, variables, key_file=key_file, own_server=own_server)
    return None


def _check_installed(entry: CatalogEntry) -> None:
    """The SDK must be there; looking for it imports at most its parent packages."""
    if entry.wire == "local":
        return  # the local provider says itself what it lacks
    try:
        found = find_spec(entry.module) is not None
    except ModuleNotFoundError:
        found = False
    if not found:
        raise UsageError(
            f"{entry.name} needs the package {entry.module!r}, which is not installed",
            hint=f"pip install '{entry.install}'",
        )


@dataclass(frozen=True, slots=True)
class _Route:
    """What the two adapters that post bodies themselves have in common.

    Args:
        url: where calls go.
        own_server: that is another server than the provider's own.
        key: what the server is shown; `KEYLESS` when it asks for none.
        plan: how structure is asked for.
    """

    url: str
    own_server: bool
    key: str = field(repr=False)
    plan: Plan


def _route(wanted: _Wanted) -> _Route:
    url, own_server = server_address(wanted.entry, wanted.base_url, wanted.env.variables)
    return _Route(url, own_server, _key(wanted, own_server), _plan(wanted, own_server))


def _key(wanted: _Wanted, own_server: bool) -> str:
    return api_key(wanted.entry, wanted.env.variables, key_file=wanted.key_file, own_server=own_server)


def _plan(wanted: _Wanted, own_server: bool) -> Plan:
    return choose(
        wanted.entry, wanted.model.name, wanted.schema, wanted.mode, own_server=own_server, modes=modes_of
    )


def _call(wanted: _Wanted, url: str, key: str, *, own_server: bool = False) -> Call:
    name, keys = wanted.entry.name, wanted.entry.keys
    return Call(name, wanted.model.name, url, secret=key, keys=keys, own_server=own_server)


def _openai(wanted: _Wanted) -> Endpoint:
    from llmx.providers.openai import chat_codec, read_chat, read_instructed, transport_for
    from llmx.providers.openai_stream import CHAT_STREAMING

    entry, route = wanted.entry, _route(wanted)
    if wanted.logprobs and "tools" in route.plan.mode:
        raise UsageError(
            f"{entry.name} tells no log-probabilities of a tool call, which {wanted.model.name} is to answer with",
            hint="--mode json, or json_schema where the schema allows it; or --votes 3 in place of --logprobs",
        )
    proper = entry.name in ("openai", "azure_openai") and not route.own_server
    by_completion = caps_by_completion(wanted.model.name, own_server=not proper)
    parameters = wanted.parameters("max_completion_tokens" if by_completion else "max_tokens")
    codec = chat_codec(
        entry, wanted.schema, route.plan, parameters, cap_is_ours=wanted.cap_is_ours, plans=wanted.plans
    )
    sdk = wanted.sdk or is_proxied(route.url)
    provider = PostingProvider(
        transport_for(entry, route.url, route.key, wanted.env.variables, sdk=sdk),
        read=read_instructed if route.plan.mode in ("json", "md_json") else read_chat,
        price=_pricer(wanted, route.url),
        call=_call(wanted, route.url, route.key, own_server=route.own_server),
        streaming=CHAT_STREAMING,
    )
    endpoint = _endpoint(wanted, provider, codec, route.plan, route.url)
    return replace(endpoint, listen=provider.listen)


def _anthropic(wanted: _Wanted) -> Endpoint:
    from llmx.providers.anthropic import messages_codec, read_instructed, read_message, transport_for
    from llmx.providers.anthropic_stream import MESSAGE_STREAMING

    entry, route, parameters = wanted.entry, _route(wanted), wanted.parameters("max_tokens")
    codec = messages_codec(
        entry, wanted.schema, route.plan, parameters, cap_is_ours=wanted.cap_is_ours, plans=wanted.plans
    )
    sdk = wanted.sdk or is_proxied(route.url)
    provider = PostingProvider(
        transport_for(route.url, route.key, wanted.env.variables, sdk=sdk),
        read=read_instructed if route.plan.mode == "json" else read_message,
        price=_pricer(wanted, route.url),
        call=_call(wanted, route.url, route.key, own_server=route.own_server),
        streaming=MESSAGE_STREAMING,
    )
    endpoint = _endpoint(wanted, provider, codec, route.plan, route.url)
    return replace(endpoint, listen=provider.listen, injected=INJECTED)


def _instructor(wanted: _Wanted, timeout: float) -> Endpoint:
    from llmx.providers.instructor_any import SdkProvider, SdkWire, client_for, sdk_codec

    entry, parameters = wanted.entry, wanted.parameters("max_tokens")
    # Checked even if it is the SDK that will read it: what it says about a bad one repeats it.
    given = given_address(entry, wanted.base_url, wanted.env.variables)
    base_url = given if wanted.base_url else None
    key, plan = _key(wanted, base_url is not None), _plan(wanted, base_url is not None)
    create, client, url = client_for(
        entry, wanted.model.name, plan.mode, key, base_url=base_url, timeout=timeout
    )
    wire = SdkWire(
        entry, handlers_for(entry.handlers, plan.mode), wire_model(wanted.schema, plan.wire.schema)
    )
    codec = sdk_codec(wanted.schema, wire, plan, parameters, cap_is_ours=wanted.cap_is_ours)
    price_of, call = _pricer(wanted, base_url), _call(wanted, url, key)
    provider = SdkProvider(create, client, wire, price=price_of, call=call)
    return replace(_endpoint(wanted, provider, codec, plan, url), price=price_of)


async def _local(wanted: _Wanted, spans: bool, progress: Progress) -> Endpoint:
    from llmx.providers.local import CONCURRENCY, MAX_OUTPUT_TOKENS, MODEL_NOTE, LocalProvider, local_model
    from llmx.providers.local_codec import local_codec, weights_id

    _require(wanted.base_url is None, "-m local runs in this process: it has no --base-url")
    plan = choose(wanted.entry, "", wanted.schema, wanted.mode, own_server=True, modes=modes_of)
    path, name = await detached(partial(local_model, wanted.model.path or "", wanted.env), progress)
    wanted = replace(wanted, model=replace(wanted.model, name=name))
    parameters = wanted.parameters("max_tokens", MAX_OUTPUT_TOKENS)
    codec = local_codec(wanted.schema, plan, parameters, cap_is_ours=wanted.cap_is_ours)
    # The span rule is not part of the body, but it changes the answers: it belongs to what identifies them.
    address = weights_id(path) + (" spans" if spans else "")
    endpoint = _endpoint(wanted, LocalProvider(path, name, spans=spans), codec, plan, address)
    # Somebody's own file may be any model; the first note is about the one that we chose.
    notes = ["" if wanted.model.path else MODEL_NOTE, _beyond_spans(plan) if spans else ""]
    return replace(
        endpoint,
        price=lambda model, usage: Decimal(0),
        concurrency=CONCURRENCY,
        note="; ".join(note for note in notes if note),
    )


def _beyond_spans(plan: Plan) -> str:
    """Which text fields --spans does not hold to the row, "" when it holds all."""
    from llmx.providers.spans import unrestricted

    places = unrestricted(plan.wire.schema)
    more = len(places) - PLACES_SHOWN
    shown = ", ".join(places[:PLACES_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"--spans does not reach {shown}" if places else ""


def _pricer(wanted: _Wanted, url: str | None) -> Callable[[str, Usage], Decimal | None]:
    given, listed = wanted.prices, wanted.entry.prices
    if given.input is not None and given.output is not None:
        per_input, per_output = given.input / 1_000_000, given.output / 1_000_000
        return lambda model, usage: usage.input_tokens * per_input + usage.output_tokens * per_output
    at = None if given.elsewhere else url
    return lambda model, usage: price(model, listed, at, usage)


def _endpoint(wanted: _Wanted, provider: Provider, codec: Codec, plan: Plan, url: str) -> Endpoint:
    entry = wanted.entry
    return Endpoint(
        id=f"{entry.name} {url}",
        provider=provider,
        codec=codec,
        model=wanted.model.name,
        mode=plan.mode,
        name=entry.name,
        base_url=url,
        wire=plan.wire,
        price=_pricer(wanted, url),
        prices=entry.prices,
        given=None if entry.wire == "local" else given_address(entry, wanted.base_url, wanted.env.variables),
    )
