"""An invoice and its lines: nested models, a date, a choice, a constraint and a validator of our own."""

from datetime import date
from typing import Literal

from pydantic import BaseModel, Field, field_validator


class Line(BaseModel):
    """One position that is billed."""

    article: str = Field(description="what is billed, as written")
    quantity: int = Field(ge=1, description="how many")
    price: float = Field(ge=0, description="price of one, without currency")


class Invoice(BaseModel):
    """An invoice as it came by mail."""

    number: str = Field(description="the invoice number, as written")
    issued: date = Field(description="the date of the invoice")
    currency: Literal["EUR", "USD", "GBP"]
    lines: list[Line] = Field(min_length=1, description="the positions, in their order")

    @field_validator("number")
    @classmethod
    def strip_label(cls, number: str) -> str:
        """'No. 2041' is 2041."""
        return number.removeprefix("No.").strip()
