"""The people, organizations, places, dates, amounts and products that a text names.

llmx extract articles.jsonl --schema entities
llmx extract articles.jsonl --schema entities --explode entities    # one row per entity
"""

from typing import Literal

from pydantic import BaseModel, Field


class Entity(BaseModel):
    """One named thing."""

    text: str = Field(description="the name exactly as it is written in the text")
    type: Literal["person", "organization", "location", "date", "money", "product", "event", "other"] = Field(
        description="person: a human being; organization: a company, institution or group; location: a country, "
        "city, address or natural place; date: a point in time or a period; money: an amount with its currency; "
        "product: a thing that is made or sold; event: something that takes place and has a name; other: any other name"
    )


class Entities(BaseModel):
    """Everything the text names, each thing once, in the order of its first mention."""

    entities: list[Entity] = Field(description="the named things; empty if there are none")
