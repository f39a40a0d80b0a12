"""Stacking layers."""

from __future__ import annotations

from fakes import Script, a_request, an_answer

from llmx.layers import compose
from llmx.types import Completion, Handler, Layer, Request


def noting(name: str, passed: list[str]) -> Layer:
    def layer(handler: Handler) -> Handler:
        async def call(request: Request) -> Completion:
            passed.append(name)
            return await handler(request)

        return call

    return layer


async def test_the_first_layer_is_the_outermost():
    """A call passes the layers in the order in which they are listed."""
    passed: list[str] = []
    handler = compose(Script(an_answer()), [noting("outer", passed), noting("inner", passed)])
    await handler(a_request())
    assert passed == ["outer", "inner"]


def test_no_layers_leave_the_handler():
    """Composing nothing is the handler itself."""
    script = Script(an_answer())
    assert compose(script, []) is script
