"""An ear that remembers, for tests of what lets answers be heard."""

from __future__ import annotations

from dataclasses import dataclass, field

from llmx.types import Restart


@dataclass
class Heard:
    """What was heard: the text since the last beginning, and what else happened.

    Args:
        pieces: of text, empty ones included.
    """

    pieces: list[str] = field(default_factory=list)
    begun: int = 0
    restarts: list[tuple[Restart, str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def begin(self) -> None:
        self.begun += 1
        self.pieces.clear()

    def hear(self, text: str) -> None:
        self.pieces.append(text)

    def restart(self, reason: Restart, message: str) -> None:
        self.restarts.append((reason, message))
        self.pieces.clear()
