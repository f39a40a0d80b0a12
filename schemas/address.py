"""The parts of a postal address, from any country.

llmx extract customers.csv --schema address --input address
"""

from pydantic import BaseModel, Field


class Address(BaseModel):
    """A postal address taken apart. Every part is as written; nothing is added from general knowledge."""

    recipient: str | None = Field(default=None, description="the person or company that receives the mail")
    street: str | None = Field(default=None, description="street and house number, or the P.O. box")
    unit: str | None = Field(default=None, description="apartment, suite, floor or building")
    postal_code: str | None = Field(default=None, description="postal code or ZIP code")
    city: str | None = Field(default=None, description="city, town or village")
    region: str | None = Field(default=None, description="state, province or county")
    country: str | None = Field(default=None, description="country, if stated")
