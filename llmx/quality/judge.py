"""What is made of a valid answer beyond its value: its evidence, and how sure the model was of it.

It is called where answers are read, by validation and by the cache, so that what it refuses is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from llmx.quality.envelope import ANSWER
from llmx.quality.leaves import Path, belongs, read
from llmx.types import Completion, Quality, Quote, Request

__all__ = ["Judge"]

_BELOW: Path = (ANSWER,)


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
        if not self.evidence:
            value = completion.value
            return completion.valued(value, Quality(None, self._confidence(completion, value)))
        value, quotes = completion.value.answer, completion.value.evidence
        evidence = self._evidence(request, completion, value, quotes)
        return completion.valued(value, Quality(evidence, self._confidence(completion, value)))

    def _confidence(self, completion: Completion, value: Any) -> Mapping[Path, float] | None:
        """By the response; of an answer out of the cache, as it was stored."""
        if not self.logprobs:
            return None
        if completion.quality is not None and completion.quality.confidence is not None:
            return completion.quality.confidence
        from llmx.quality.logprobs import confidence_of

        found = confidence_of(completion.body, completion.text, below=_BELOW if self.evidence else ())
        return None if found is None else {path: sure for path, sure in found.items() if belongs(value, path)}

    def _evidence(
        self, request: Request, completion: Completion, value: Any, quotes: Any
    ) -> dict[Path, Quote | None]:
        from llmx.quality.evidence import check, rests_on

        answer = read(completion.text)[ANSWER]
        rested = rests_on(answer, quotes, self.shown(request.data))
        found = {path: quote for path, quote in rested.items() if belongs(value, path)}
        if self.required:
            check(quotes, found)
        return found
