"""How many tokens a request will use, learnt from those that came before."""

from __future__ import annotations

from llmx.types import Usage

__all__ = ["BYTES_PER_TOKEN", "TokenEstimate"]

FADING = 0.98
"""What an answer counts for when the next one has come: half of the estimate is from the last 34."""

BYTES_PER_TOKEN = 4.0
"""The first guess (OpenAI, "What are tokens and how to count them?")."""


class TokenEstimate:
    """Tokens of a prompt by the bytes of its body, and of an answer by those of the last answers.

    Args:
        first_output: tokens of an answer as long as there was none.
    """

    def __init__(self, first_output: int = 256) -> None:
        self._first_output = first_output
        self._bytes = self._input = self._answers = self._output = 0.0

    def guess(self, size: int) -> tuple[float, float]:
        """Input and output tokens of a request whose body has `size` bytes."""
        if not self._answers:
            return size / BYTES_PER_TOKEN, float(self._first_output)
        return size * self._input / self._bytes, self._output / self._answers

    def usual(self) -> tuple[float, float]:
        """Input and output tokens of the last requests, on average; 0 and 0 before the first answer."""
        if not self._answers:
            return 0.0, 0.0
        return self._input / self._answers, self._output / self._answers

    def learn(self, size: int, usage: Usage) -> None:
        """Note what a request of `size` bytes used; a server that does not count says nothing."""
        if not usage.total_tokens:
            return
        self._bytes = self._bytes * FADING + max(1, size)
        self._input = self._input * FADING + usage.input_tokens
        self._output = self._output * FADING + usage.output_tokens
        self._answers = self._answers * FADING + 1
