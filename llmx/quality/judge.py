"""What is made of a valid answer beyond its value: its evidence, and how sure the model was of it.

It is called where answers are read, by validation and by the cache, so that what it refuses is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from llmx.quality.leaves import Path
from llmx.records.integers import loads
from llmx.types import Completion, Quality, Quote, Request

__all__ = ["Judge", "answer_in"]

_BELOW: Path = ("answer",)


def answer_in(answer: Any) -> Any:
    """What stands for the user's schema in the JSON of an answer with evidence."""
    return answer["answer"]


class Judge(Struct, frozen=True):
    """Finds out about answers.

    Args:
        evidence: answers come with evidence, see `envelope`.
        required: values whose words are not in the row are refused.
        logprobs: responses tell log-probabilities.
        shown: the columns of a row that the model sees.
    """

    evidence: bool
    required: bool
    logprobs: bool
    shown: Callable[[Mapping[str, Any]], Mapping[str, Any]]

    def __call__(self, request: Request, completion: Completion) -> Completion:
        """The completion with the user's object as its value, and its quality.

        Raises:
            ValueError: it does not rest on the row; says which values do not.
        """
        confidence = self._confidence(completion)
        if not self.evidence:
            return completion.valued(completion.value, Quality(None, confidence))
        value, quotes = completion.value.answer, completion.value.evidence
        return completion.valued(value, Quality(self._evidence(request, completion, quotes), confidence))

    def _confidence(self, completion: Completion) -> Mapping[Path, float] | None:
        """By the response; of an answer out of the cache, as it was stored."""
        if not self.logprobs:
            return None
        if completion.quality is not None and completion.quality.confidence is not None:
            return completion.quality.confidence
        from llmx.quality.logprobs import confidence_of

        return confidence_of(completion.body, completion.text, below=_BELOW if self.evidence else ())

    def _evidence(self, request: Request, completion: Completion, quotes: Any) -> dict[Path, Quote | None]:
        from llmx.quality.evidence import check, rests_on

        answer = answer_in(loads(completion.text.encode()))
        found = rests_on(answer, quotes, self.shown(request.data))
        if self.required:
            check(quotes, found)
        return found
