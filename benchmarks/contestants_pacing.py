"""The competitors of pacing.py, each in a process of its own, which pacing.py starts.

    python benchmarks/contestants_pacing.py NAME URL ROWS CONCURRENCY RPM TPM

Writes the rows that were done to out.jsonl in the current folder, the errors of the others to out.errors.jsonl. litellm
has an environment of its own, which has no llmx: so nothing of llmx is imported, and of the competitors only the one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

Ask = Callable[[str], Awaitable[BaseModel]]

ATTEMPTS = 6
"""Per row, as in OpenAI's cookbook, whose retries the first competitor has: How_to_handle_rate_limits."""


class Row(BaseModel):
    """What `SCHEMA` of harness.py says, as one writes it without llmx."""

    name: str
    email: str
    age: int
    tone: Literal["good", "bad", "neutral"]


@dataclass(frozen=True, slots=True)
class Job:
    """What a competitor is told.

    Args:
        concurrency: calls in flight at most.
        rpm, tpm: requests and tokens per minute.
    """

    url: str
    concurrency: int
    rpm: int
    tpm: int


def aiolimiter(job: Job) -> Ask:
    """instructor, a bucket for the requests of a minute, and tenacity for the 429s."""
    import instructor
    import openai
    from aiolimiter import AsyncLimiter
    from tenacity import retry, retry_if_exception_cause_type, stop_after_attempt, wait_random_exponential

    # One retry for 429s, not two inside each other: the SDK has its own, instructor's are for validation.
    sdk = openai.AsyncOpenAI(base_url=job.url, api_key="mock", max_retries=0)
    client = instructor.from_openai(sdk)
    bucket, slots = AsyncLimiter(job.rpm, 60), asyncio.Semaphore(job.concurrency)

    @retry(
        retry=retry_if_exception_cause_type(openai.RateLimitError),  # instructor wraps it
        wait=wait_random_exponential(min=1, max=60),
        stop=stop_after_attempt(ATTEMPTS),
        reraise=True,
    )
    async def ask(text: str) -> BaseModel:
        async with bucket, slots:  # inside the retry: who backs off holds no slot
            return await client.chat.completions.create(
                model="mock", response_model=Row, max_retries=2, messages=messages(text)
            )

    return ask


def litellm(job: Job, *, enforced: bool = False) -> Ask:
    """The Router as it comes, or with what its maintainers say makes it keep the limits of concurrent calls.

    They say it in https://github.com/BerriAI/litellm/issues/5783; as it comes, limits are weights of a choice.
    """
    from litellm import Router

    server = {"model": "openai/mock", "api_base": job.url, "api_key": "mock"}
    router = Router(
        model_list=[{"model_name": "mock", "litellm_params": {**server, "rpm": job.rpm, "tpm": job.tpm}}],
        routing_strategy="usage-based-routing-v2" if enforced else "simple-shuffle",
        enable_pre_call_checks=enforced,
        num_retries=ATTEMPTS - 1,
    )
    slots = asyncio.Semaphore(job.concurrency)

    async def ask(text: str) -> BaseModel:
        async with slots:
            answer = await router.acompletion(model="mock", messages=messages(text), response_format=Row)
        return Row.model_validate_json(answer.choices[0].message.content)

    return ask


COMPETITORS: dict[str, Callable[[Job], Ask]] = {
    "aiolimiter": aiolimiter,
    "litellm": litellm,
    "litellm-enforced": partial(litellm, enforced=True),
}


def messages(text: str) -> list[dict[str, str]]:
    """The prompt."""
    return [{"role": "user", "content": text}]


async def main() -> None:
    """Ask for all rows at once and write what became of them."""
    name, url, rows, *numbers = sys.argv[1:]
    ask = COMPETITORS[name](Job(url, *map(int, numbers)))
    texts = [json.loads(line)["text"] for line in Path(rows).read_text().splitlines()]  # noqa: ASYNC240  before all
    results = await asyncio.gather(*map(ask, texts), return_exceptions=True)
    with open("out.jsonl", "w") as done, open("out.errors.jsonl", "w") as lost:  # noqa: ASYNC230, PTH123  after all
        for result in results:
            if isinstance(result, BaseModel):
                done.write(result.model_dump_json() + "\n")
            else:
                error = {"error": type(result).__name__, "cause": str(result)[:300]}
                lost.write(json.dumps(error) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
