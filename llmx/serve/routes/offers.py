"""`/v1/schemas`, `/v1/models`, `/v1/limits`: what there is to choose from, and where a key stands."""

# Annotations are no strings here: FastAPI evaluates those of functions within functions.

from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from llmx.records import to_json
from llmx.serve.callers import caller
from llmx.serve.documents import Limits, ModelList, SchemaList
from llmx.serve.house import House
from llmx.serve.keys import Key
from llmx.serve.openapi import ALWAYS, answer, problems

__all__ = ["offer_routes"]


def offer_routes(house: House) -> APIRouter:
    """The router."""
    router = APIRouter(prefix="/v1", tags=["offers"])
    anybody = caller(house)

    @router.get(
        "/schemas",
        operation_id="listSchemas",
        summary="Schemas on offer",
        responses={200: answer("The schemas.", SchemaList), **problems(*ALWAYS)},
    )
    async def list_schemas(key: Annotated[Key, Depends(anybody)]) -> Response:
        """Each may be named in a request's `schema`."""
        found = [
            {"name": one.name, "description": one.description, "json_schema": one.schema.json_schema}
            for one in house.offers.schemas.values()
        ]
        return Response(to_json({"schemas": found}), media_type="application/json")

    @router.get(
        "/models",
        operation_id="listModels",
        summary="Models on offer",
        responses={200: answer("The models.", ModelList), **problems(*ALWAYS)},
    )
    async def list_models(key: Annotated[Key, Depends(anybody)]) -> Response:
        """Those that this key may use; prices are US dollars per million tokens."""
        default = house.offers.default(key)
        found = [
            {
                "name": one.name,
                "default": one.name == default,
                "input_price": _text(one.input_price),
                "output_price": _text(one.output_price),
            }
            for one in house.offers.allowed(key)
        ]
        return Response(to_json({"models": found}), media_type="application/json")

    @router.get(
        "/limits",
        operation_id="getLimits",
        summary="Where this key stands",
        responses={
            200: answer("Its limits, what is spent of them and what is left.", Limits),
            **problems(*ALWAYS),
        },
    )
    async def get_limits(key: Annotated[Key, Depends(anybody)]) -> Response:
        """null where there is no limit. What calls in flight may come to counts as spent."""
        found = await house.limits.standing(key)
        return Response(to_json(found), media_type="application/json")

    return router


def _text(price: Decimal | None) -> str | None:
    return None if price is None else f"{price.normalize():f}"
