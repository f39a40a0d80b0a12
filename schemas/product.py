"""Name, brand, price and attributes of a product, out of its listing or description.

llmx extract listings.csv --schema product
"""

from pydantic import BaseModel, Field


class ProductAttribute(BaseModel):
    """One property of the product, such as color: red."""

    name: str = Field(description="what the property is, in lower case: color, size, material, weight")
    value: str = Field(description="its value as written, with the unit")


class Product(BaseModel):
    """One product that is offered or described."""

    name: str = Field(description="the product's name, with its model, without the brand")
    brand: str | None = Field(default=None, description="the brand or maker, if stated")
    category: str | None = Field(
        default=None, description="the kind of product in one to three words: running shoes"
    )
    price: float | None = Field(default=None, description="the price now asked, as a plain number, if stated")
    currency: str | None = Field(default=None, description="ISO 4217 code of the price, such as EUR or USD")
    attributes: list[ProductAttribute] = Field(
        description="every stated property that has no field of its own"
    )
