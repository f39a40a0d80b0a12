"""Between messages and a provider's wire format: bodies out, answers in, corrections phrased.

What a body looks like, and how a correction is worded, is instructor's: its mode handlers build the
constant part once per run, and every re-ask. A row only puts its own text into the body so built. The
calls themselves are made elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from llmx.providers.catalog import CatalogEntry
from llmx.providers.forms import CAPS, Body, Form, FormError, Planner, planned, shape_of
from llmx.providers.modes import Plan
from llmx.providers.plans import changed, kept
from llmx.schemas import Schema
from llmx.types import Completion

if TYPE_CHECKING:
    from instructor.v2.core.registry import ModeHandlers
    from pydantic import BaseModel

__all__ = [
    "Body",
    "Codec",
    "HandlerCodec",
    "answer_json",
    "handlers_for",
    "modes_of",
    "planned_codec",
    "wire_model",
]

Message = Mapping[str, Any]


class Codec(Protocol):
    """One endpoint's wire format. (`raised` is a fourth method: it belongs to no one else.)"""

    def prepare(self, messages: Sequence[Message]) -> Mapping[str, Any]:
        """The whole body for one row's messages."""
        ...

    def parse(self, completion: Completion) -> Any:
        """The user's object. Raises ValueError (pydantic's ValidationError is one) when it does not fit."""
        ...

    def reask(self, body: Mapping[str, Any], completion: Completion, error: Exception) -> Body:
        """A new body that shows the model its answer and the error; `body` is left as it is."""
        ...

    def raised(self, body: Mapping[str, Any]) -> Body | None:
        """A new body with twice the output cap; None when the user set the cap."""
        ...


class HandlerCodec(Struct):
    """A codec made of instructor's handlers for one provider and mode.

    Args:
        schema: parses answers, whatever the provider was sent.
        build: a whole body from messages: the request handler and what the adapter adds. Called once
            per run at most, not per row.
        correct: instructor's reask handler over (body, response, error); it may append to
            `body["messages"]`.
        response: the SDK's own response object from a completion's body, which `correct` wants.
        cap_is_ours: whether the output cap is the default, and so may be raised.
        plan: what `build` makes of gaps, where that is known without it.
    """

    schema: Schema
    build: Callable[[list[Body]], Body]
    correct: Callable[[Body, Any, Exception], Body]
    response: Callable[[Mapping[str, Any]], Any]
    cap_is_ours: bool
    plan: Planner | None = None
    _prefix: Sequence[Message] | None = None
    _form: Form | None = None

    def prepare(self, messages: Sequence[Message]) -> Mapping[str, Any]:
        """See `Codec.prepare`."""
        prefix = messages[:-1]
        # Rows share the prefix's very objects, so this comparison is one of identities.
        if prefix != self._prefix:
            self._form = self._formed(messages)
            self._prefix = prefix
        if self._form is None:
            return self.build([dict(message) for message in messages])
        return self._form.filled(str(messages[-1]["content"]))

    def _formed(self, messages: Sequence[Message]) -> Form | None:
        """The form of rows after these messages; None where a handler makes more of texts than to put them in."""
        shape = shape_of(messages)
        try:
            plan = planned(self.build, shape) if self.plan is None else self.plan(shape)
        except FormError:
            return None
        return plan.form([str(message["content"]) for message in messages[:-1]])

    def parse(self, completion: Completion) -> Any:
        """See `Codec.parse`."""
        # What the handlers' own parsers come to once `text` is extracted; a test holds the two together.
        return self.schema.parse(completion.text)

    def reask(self, body: Mapping[str, Any], completion: Completion, error: Exception) -> Body:
        """See `Codec.reask`."""
        told = _Told(error)
        try:
            return dict(self.correct(_copy(body), self.response(completion.body), told))
        except (AttributeError, LookupError, TypeError, ValueError):
            # A server left out what the handler needs of its response: correct without showing the answer.
            return dict(self.correct(_copy(body), self.response({}), told))

    def raised(self, body: Mapping[str, Any]) -> Body | None:
        """See `Codec.raised`."""
        if not self.cap_is_ours:
            return None
        return {name: 2 * value if name in CAPS else value for name, value in body.items()}


class _Told(ValueError):
    """A validation error as the model is shown it: pydantic's text without its links to documentation."""

    def __init__(self, error: Exception) -> None:
        lines = str(error).splitlines()
        super().__init__(
            "\n".join(line for line in lines if not line.lstrip().startswith("For further information"))
        )


def _copy(body: Mapping[str, Any]) -> Body:
    """A copy that instructor's handlers may append to."""
    return {name: list(value) if isinstance(value, list) else value for name, value in body.items()}


def planned_codec(
    entry: CatalogEntry,
    schema: Schema,
    plan: Plan,
    parameters: Mapping[str, Any],
    build: Callable[[list[Body]], Body],
    response: Callable[[Mapping[str, Any]], Any],
    *,
    cap_is_ours: bool,
    plans: Path | None,
) -> HandlerCodec:
    """A codec whose bodies are planned once for all runs; instructor is imported for the plan, and for re-asks.

    Args:
        build, response: see `HandlerCodec`.
        plans: the folder of the plans that are kept.
    """

    def correct(body: Body, response: Any, error: Exception) -> Body:
        return dict(handlers_for(entry.handlers, plan.mode).reask_handler(body, response, error))

    asked = [entry.handlers, plan.mode, plan.strict, plan.wire.schema, parameters]
    written = [changed(__file__), changed(build.__code__.co_filename)]  # the version is not, in a checkout
    planner = kept(plans, build, schema.name, schema.description, *asked, *written)
    return HandlerCodec(schema, build, correct, response, cap_is_ours, planner)


def handlers_for(provider: str, mode: str) -> ModeHandlers:
    """Instructor's handlers.

    Args:
        provider: as in `CatalogEntry.handlers`.
        mode: the name of an instructor mode in lower case.
    """
    from instructor.v2.core.mode import Mode
    from instructor.v2.core.providers import Provider
    from instructor.v2.core.registry import mode_registry

    return mode_registry.get_handlers(Provider(provider), Mode[mode.upper()])


def modes_of(provider: str) -> frozenset[str]:
    """The modes instructor has handlers for, by their names in lower case."""
    from instructor.v2.core.providers import Provider
    from instructor.v2.core.registry import mode_registry

    return frozenset(mode.name.lower() for mode in mode_registry.get_modes_for_provider(Provider(provider)))


def wire_model(schema: Schema, wire: Mapping[str, Any]) -> type[BaseModel]:
    """A class that shows instructor the schema as we send it, and gives an answer's JSON text back unparsed.

    Instructor asks a response model for its name, docstring and JSON Schema. The user's own class would
    give it pydantic's schema, and not the one rewritten for this provider.
    """
    from pydantic import BaseModel

    # Without a title and a description instructor would make its own from the class.
    named = {"title": schema.name, **wire}
    if schema.description:
        named.setdefault("description", schema.description)

    class Wire(BaseModel):
        @classmethod
        def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
            return deepcopy(named)  # instructor writes into what it is given

        @classmethod
        def model_validate_json(cls, json_data: Any, **_: Any) -> Any:
            return _Text(json_data if isinstance(json_data, str) else bytes(json_data).decode())

        @classmethod
        def model_validate(cls, obj: Any, **_: Any) -> Any:
            return _Text(json.dumps(obj, ensure_ascii=False))

    Wire.__name__ = Wire.__qualname__ = schema.name
    Wire.__doc__ = schema.description
    return Wire


class _Text(str):
    """Text that takes attributes: some of instructor's parsers leave the raw response on their result."""


def answer_json(text: str) -> str:
    """The JSON in an answer that may have prose or a code fence around it, as it stands there where it is JSON.

    By its characters its tokens are found, whose log-probabilities are told.
    """
    try:
        found = _json_in(text)
        if _is_json(found):
            return found
        # Models asked by instruction put raw line breaks into strings; instructor's Anthropic parser takes them.
        return json.dumps(json.loads(found, strict=False), ensure_ascii=False)
    except ValueError:
        return text


def _json_in(text: str) -> str:
    """The last JSON in a text, by instructor, which takes a second to import and so is asked where there is more."""
    bare = text.strip()
    if bare.startswith("{") and _is_json(bare):
        return bare
    from instructor.v2.core.json import extract_json_from_codeblock

    return extract_json_from_codeblock(text)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
