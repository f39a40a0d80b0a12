"""Category, priority and a one-line summary of a support request.

llmx extract tickets.jsonl --schema ticket
"""

from typing import Literal

from pydantic import BaseModel, Field


class Ticket(BaseModel):
    """A customer's message, sorted for the team that answers it."""

    summary: str = Field(
        description="what the customer wants or reports, in one sentence of at most 20 words"
    )
    category: Literal[
        "bug", "billing", "account", "delivery", "question", "feature_request", "complaint", "other"
    ] = Field(
        description="bug: something does not work; billing: prices, charges, refunds; account: login, access, "
        "personal data; delivery: shipping and returns; question: how something is done; feature_request: "
        "something new is asked for; complaint: displeasure without another request; other: none of these"
    )
    priority: Literal["low", "normal", "high", "urgent"] = Field(
        description="urgent: many people are stopped, or money, data or safety is at stake now; high: this customer "
        "cannot go on; normal: a problem with a way around it; low: a wish or a question"
    )
    product: str | None = Field(
        default=None, description="the product or feature it is about, as named in the message"
    )
    order_number: str | None = Field(default=None, description="an order, invoice or case number, as written")
