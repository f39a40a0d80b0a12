"""Whether a text is positive, negative or neutral.

llmx extract reviews.jsonl --schema sentiment
"""

from typing import Literal

from pydantic import BaseModel, Field


class Sentiment(BaseModel):
    """The attitude that the author of the text takes towards its subject."""

    sentiment: Literal["positive", "negative", "neutral"] = Field(
        description="positive: the author is pleased; negative: the author is not; "
        "neutral: facts without an opinion, or praise and blame in balance"
    )
