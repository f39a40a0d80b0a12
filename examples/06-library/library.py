"""Take events out of messages and print one JSON line for each; what failed goes to standard error."""

import asyncio
import sys
from datetime import date

from pydantic import BaseModel, Field

import llmx


class Appointment(BaseModel):
    """A date that two people have agreed on."""

    what: str = Field(description="in a few words")
    day: date
    people: list[str] = Field(description="everybody who is to come, without the author")


MESSAGES = [
    {"from": "Ada", "text": "Lunch with Grace and Alan on 4 June 2026 at Luigi's?"},
    {"from": "Grace", "text": "The review of the compiler is moved to 2026-06-11, Edsger will join."},
    {"from": "Alan", "text": "Chess on Sunday, 7 June 2026, just the two of us, Donald!"},
]


async def main() -> None:
    async for outcome in llmx.aextract(MESSAGES, Appointment, model="openai/gpt-5-mini", concurrency=8):
        if outcome.ok:
            print(outcome.value.model_dump_json(), flush=True)
        else:
            print(f"message {outcome.record.index}: {outcome.error}", file=sys.stderr)


if __name__ == "__main__":
    asyncio.run(main())
