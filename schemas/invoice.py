"""Number, dates, parties, totals and lines of an invoice, bill or receipt.

llmx extract invoices/ --schema invoice
llmx extract invoices/ --schema invoice --explode lines    # one row per line
"""

import datetime

from pydantic import BaseModel, Field


class InvoiceLine(BaseModel):
    """One position that is billed: no subtotals, taxes or totals."""

    description: str = Field(description="what is billed, as written")
    quantity: float | None = Field(default=None, description="how many, or how much, if stated")
    unit_price: float | None = Field(default=None, description="price of one unit, if stated")
    amount: float | None = Field(default=None, description="price of the whole line, if stated")


class Invoice(BaseModel):
    """An invoice as printed. Amounts are plain numbers: 1.234,50 EUR is 1234.5 with the currency EUR."""

    number: str | None = Field(default=None, description="the invoice number, as written")
    issued: datetime.date | None = Field(default=None, description="the date of the invoice")
    due: datetime.date | None = Field(
        default=None, description="the date by which it is to be paid, if stated"
    )
    seller: str | None = Field(default=None, description="the name of who sends the invoice and is paid")
    buyer: str | None = Field(default=None, description="the name of who receives the invoice and pays")
    currency: str | None = Field(default=None, description="ISO 4217 code, such as EUR or USD")
    net: float | None = Field(default=None, description="the total before tax, if stated")
    tax: float | None = Field(default=None, description="the total of all taxes, if stated")
    total: float | None = Field(default=None, description="the total to pay, tax included")
    lines: list[InvoiceLine] = Field(
        description="the positions in the order of the invoice; empty if there are none"
    )
