"""Who asks: a bearer key, or anybody where the service has none; and what they may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from llmx.serve.house import House
from llmx.serve.keys import ANONYMOUS, Key
from llmx.serve.problems import Problem

__all__ = ["caller"]

BEARER = HTTPBearer(
    auto_error=False, description="A key made by `llmx keys create`. Not needed where there is none."
)

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="llmx"'}


def caller(house: House, *scopes: str, counted: bool = True) -> Callable[..., Awaitable[Key]]:
    """A dependency: the key of whoever asks.

    Args:
        scopes: of which the key must have one; none for what every key may do.
        counted: whether the request counts against the key's requests per minute.
    """

    async def authorised(
        request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)]
    ) -> Key:
        key = _key(house, None if given is None else given.credentials)
        request.scope["llmx.key"] = key.name
        if scopes and not any(key.may(scope) for scope in scopes):
            raise Problem(403, "scope_missing", f"this key lacks the scope {' or '.join(scopes)}")
        if counted:
            request.scope["llmx.headers"] = dict(await house.limits.admit(key))
        return key

    return authorised


def _key(house: House, secret: str | None) -> Key:
    if not house.keys.required:
        return ANONYMOUS
    if secret is None:
        hint = "Authorization: Bearer llmx_…"
        raise Problem(401, "key_missing", "this service asks for a key", hint=hint, headers=_CHALLENGE)
    if (key := house.keys.find(secret, house.now())) is None:
        raise Problem(401, "key_unknown", "the key is unknown, revoked or expired", headers=_CHALLENGE)
    return key
