"""From settings to the semantic cache: opened where it was asked for, and a shelf of it for each endpoint.

Part of a call's composition root (`engine`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from llmx.caches.fingerprint import fingerprint
from llmx.environment import Environment
from llmx.prompts import Prompt
from llmx.providers import Endpoint
from llmx.schemas import Schema
from llmx.settings import SIMILARITY, Settings, as_options

if TYPE_CHECKING:
    from llmx.caches.semantic import Shelf

__all__ = ["AUDITED", "Shelves", "semantic_shelves"]

AUDITED = (
    *("schema", "base_url", "endpoints", "mode", "temperature", "max_output_tokens", "key_file", "spans"),
    *("input", "prompt", "system", "examples", "key", "evidence", "require_evidence", "votes", "logprobs"),
)
"""The options that make up a question: what is kept of a run so that its hits can be audited."""

_ROW = "\x00row\x00"
"""What stands for the row in what all questions of a run have in common."""

Shelves = Callable[[Endpoint, str], "Shelf"]


@contextmanager
def semantic_shelves(
    settings: Settings, schema: Schema, prompt: Prompt, env: Environment, say: Callable[[str], None]
) -> Iterator[Shelves | None]:
    """What the semantic cache has of an endpoint, None where nobody has asked for it; written to the disk at the end.

    Raises:
        UsageError: the extra is not installed.
        OutputFailed: the system does not let the cache be used.
    """
    if settings.cache != "semantic":
        yield None
        return
    from llmx.caches.rows import semantic_folder
    from llmx.caches.semantic import SemanticCache

    cache = SemanticCache(
        semantic_folder(env.home),
        least=SIMILARITY if settings.similarity is None else settings.similarity,
        ttl=settings.cache_ttl,
        warn=lambda text: say(f"warning: {text}"),
        shown=prompt.shown,
        command=_command(settings, env),
        writes=not (settings.no_store or settings.offline),
    )
    with closing(cache):
        yield lambda endpoint, spec: cache.shelf(_scope(endpoint, schema, prompt), spec)


def _scope(endpoint: Endpoint, schema: Schema, prompt: Prompt) -> str:
    """The same for all questions that differ in their row alone."""
    body = endpoint.codec.prepare([*prompt.prefix, {"role": "user", "content": _ROW}])
    return fingerprint(endpoint.id, schema.fingerprint, {"body": dict(body), "template": prompt.source})


def _command(settings: Settings, env: Environment) -> Mapping[str, Any] | None:
    """What is to be known of a run to ask its questions again; None where its schema has no name."""
    if not isinstance(settings.schema_, str | dict):
        return None
    given = as_options(settings)
    return {"cwd": str(env.cwd), "options": {name: given[name] for name in AUDITED if name in given}}
