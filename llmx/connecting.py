"""From settings to endpoints that are ready for calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from typing import Protocol

from msgspec.structs import replace

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.layers.stop import Stop
from llmx.providers import (
    CATALOG,
    Endpoint,
    Prices,
    check_callable,
    checked_address,
    connect,
    parse_model,
    with_keys,
)
from llmx.report.summary import Figures
from llmx.schemas import Schema
from llmx.settings import EndpointTable, Settings
from llmx.spending import counts_money

__all__ = ["Quiet", "Talk", "check_askable", "connected", "keyless"]


class Talk(Protocol):
    """Where a run speaks to a person: a terminal, or nowhere."""

    def say(self, text: str) -> None:
        """One line."""
        ...

    def confirmed(self, question: str) -> bool:
        """Whether a person agrees; True where there is nobody to ask. Blocks."""
        ...

    def downloading(self, done: int, total: int | None) -> None:
        """Bytes of the embedded model's weights; `total` is None while unknown."""
        ...

    def showing(self, figures: Figures) -> AbstractAsyncContextManager[None]:
        """Show the figures for as long as the context lasts."""
        ...


class Quiet:
    """A `Talk` with nobody there to see or to ask.

    Args:
        say: takes what is said.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def say(self, text: str) -> None:
        """See `Talk.say`."""
        self._say(text)

    def confirmed(self, question: str) -> bool:
        """See `Talk.confirmed`."""
        return True

    def downloading(self, done: int, total: int | None) -> None:
        """See `Talk.downloading`."""

    def showing(self, figures: Figures) -> AbstractAsyncContextManager[None]:
        """See `Talk.showing`."""
        return nullcontext()


@asynccontextmanager
async def connected(
    settings: Settings, schema: Schema, env: Environment, talk: Talk, stop: Stop, *, dollars: bool = False
) -> AsyncIterator[list[Endpoint]]:
    """The run's endpoints, in the order of the chain; their connections are released at the end.

    A stop ends the wait for weights.

    Args:
        dollars: somebody else counts the run's money, too, for which prices must be known.
    """
    _check_models(settings)
    async with AsyncExitStack() as held:
        endpoints = []
        for spec in settings.model:
            with stop.interruptible():
                endpoint = await _connect(spec, settings, schema, env, talk, dollars=dollars)
            held.push_async_callback(endpoint.provider.aclose)
            endpoints.append(endpoint)
        yield endpoints


def _check_models(settings: Settings) -> None:
    """Raises UsageError for what cannot be meant.

    One address for several providers, as each one's key would be sent there, and an endpoint that is there twice, as
    its limits are there once.
    """
    if twice := [spec for spec in settings.model if settings.model.count(spec) > 1]:
        hint = "for a second key or address of a model, an [endpoint.NAME] table with a key-name or base-url of its own"
        raise UsageError(f"-m {twice[0]} is given twice", hint=hint)
    tables = [_checked_table(spec, settings) for spec in settings.model]
    plain = [table.model for table in tables if table.base_url is None]
    providers = list(dict.fromkeys(parse_model(model).provider for model in plain))
    remote = [name for name in providers if name != "local"]
    if settings.base_url is not None and len(remote) > 1:
        hint = "[endpoint.NAME] tables with a base-url in llmx.toml, or the variables of their SDKs, such as OPENAI_BASE_URL"
        raise UsageError(f"--base-url is for one provider, and -m names {' and '.join(remote)}", hint=hint)


def check_askable(settings: Settings, env: Environment) -> None:
    """Refuse to serve what could answer nobody; nothing is opened or fetched.

    Args:
        settings: of an operator; `model` are those on offer.

    Raises:
        UsageError: a package that a model or the cache needs is not installed, or the models cannot be meant.
        AuthenticationFailed: a model has no key.
    """
    _check_models(settings)
    for spec in settings.model:
        table = settings.table(spec)
        address, key_name = table.base_url or settings.base_url, table.key_name
        check_callable(
            table.model, env.variables, base_url=address, key_file=settings.key_file, key_name=key_name
        )
    if settings.cache == "semantic":
        from llmx.semantic.embedding import embeddings

        embeddings()


def _checked_table(spec: str, settings: Settings) -> EndpointTable:
    """What a name means. Raises UsageError, which names the table of the config file that is wrong."""
    table = settings.table(spec)
    try:
        model = parse_model(table.model)
        if table.base_url is not None:
            checked_address(table.base_url, CATALOG[model.provider], "base-url")
    except UsageError as error:
        if spec not in settings.endpoints:
            raise
        raise UsageError(f"[endpoint.{spec}]: {error}", hint=error.hint) from error
    return table


async def _connect(
    spec: str, settings: Settings, schema: Schema, env: Environment, talk: Talk, *, dollars: bool
) -> Endpoint:
    """One endpoint: a name of the config file's, or a model."""
    table = settings.table(spec)
    # The run's address is no address of a model in this process, where others stand beside it.
    shared = (
        None
        if parse_model(table.model).provider == "local" and len(settings.model) > 1
        else settings.base_url
    )
    prices = Prices(table.input_price, table.output_price, elsewhere=dollars or counts_money(settings))
    endpoint = await connect(
        table.model,
        schema,
        env=env,
        base_url=table.base_url or shared,
        mode=table.mode or settings.mode,
        temperature=settings.temperature,
        max_output_tokens=settings.max_output_tokens,
        key_file=settings.key_file,
        key_name=table.key_name,
        prices=prices,
        timeout=settings.timeout,
        spans=settings.spans,
        transport=settings.transport,
        logprobs=settings.logprobs,
        plans=None if settings.no_store or settings.offline else env.home / "plans",
        progress=talk.downloading,
    )
    return replace(endpoint, called=spec if spec in settings.endpoints else "")


def keyless(settings: Settings, env: Environment) -> Environment:
    """The environment of a run that calls nobody, for which no key is needed."""
    tables = [settings.table(spec) for spec in settings.model]
    specs = [table.model for table in tables]
    names = [table.key_name for table in tables if table.key_name]
    return replace(env, variables=with_keys(specs, names, env.variables))
