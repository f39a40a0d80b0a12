"""How far a run's answers can be trusted, folded from its events: evidence, agreement, and what a cascade has saved."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from msgspec import Struct, field

from llmx.events import Escalated, Event, RowSettled, RowsSettled, RunStarted, Sufficed
from llmx.text import dollars, plural
from llmx.types import Outcome

__all__ = ["Trust"]


class Trust(Struct):
    """Counts of rows, of this session; those that an earlier one has written are not looked at again.

    Args:
        evidenced: rows that came with evidence.
        unsupported: of them, those with a value whose words are not in the row; and such values.
        judged: rows of which it is known how sure they are.
        agreed: of them, those of which all votes agree on everything, or that are certain.
        least: the sum of what the least sure value of each is.
        sufficed: rows for which a cheaper model's answer would do.
        escalated: how often a dearer one was asked, by reason.
        saved: US dollars that the dearest model for all rows would have cost beyond what was spent; None when unknown.
    """

    evidenced: int = 0
    unsupported: int = 0
    unsupported_values: int = 0
    judged: int = 0
    agreed: int = 0
    least: float = 0.0
    sufficed: int = 0
    escalated: Counter[str] = field(default_factory=Counter)
    saved: Decimal | None = Decimal(0)
    _dearest: str = ""

    def __call__(self, event: Event) -> None:
        """Fold one event."""
        match event:
            case RunStarted() if event.cascade:
                self._dearest = event.endpoints[-1]
            case RowSettled():
                self._look_at(event.outcome)
            case RowsSettled():
                for outcome in event.outcomes:
                    self._look_at(outcome)
            case Sufficed():
                self._save(event.saved)
            case Escalated():
                self.escalated[event.reason] += 1
                self._save(None if event.cost is None else -event.cost)

    def _look_at(self, outcome: Outcome) -> None:
        if (
            self._dearest and outcome.ok
        ):  # by who has answered: of a stored or a shared answer nothing else is heard
            self.sufficed += outcome.endpoint not in ("", self._dearest)
        quality = outcome.quality
        if quality is None:
            return
        if quality.evidence is not None:
            self.evidenced += 1
            self.unsupported += quality.unsupported > 0
            self.unsupported_values += quality.unsupported
        if (least := quality.least) is not None:
            self.judged += 1
            self.agreed += least >= 1
            self.least += least

    def _save(self, amount: Decimal | None) -> None:
        self.saved = None if self.saved is None or amount is None else self.saved + amount

    def as_json(self) -> dict[str, Any]:
        """Only what was asked for is there."""
        told: dict[str, Any] = {}
        if self.evidenced:
            told["evidence"] = {
                "rows": self.evidenced,
                "rows_unsupported": self.unsupported,
                "values_unsupported": self.unsupported_values,
            }
        if self.judged:
            mean = self.least / self.judged
            told["confidence"] = {"rows": self.judged, "rows_certain": self.agreed, "mean_least": mean}
        if self.sufficed or self.escalated:
            told["cascade"] = {
                "sufficed": self.sufficed,
                "escalated": self.escalated.total(),
                "reasons": dict(self.escalated),
                "saved": None if self.saved is None else float(self.saved),
            }
        return told

    def lines(self) -> list[str]:
        """The same for people."""
        lines = []
        if self.evidenced:
            lines.append(self._evidence_line())
        if self.judged:
            mean = self.least / self.judged
            lines.append(
                f"confidence: {self.agreed:,} of {plural(self.judged, 'row')} certain, the least sure value {mean:.2f} on average"
            )
        if self.sufficed or self.escalated:
            lines.append(self._cascade_line())
        return lines

    def _evidence_line(self) -> str:
        if not self.unsupported:
            return f"evidence: every value of {plural(self.evidenced, 'row')} rests on words of the row"
        values = plural(self.unsupported_values, "value")
        return f"evidence: {values} in {self.unsupported:,} of {plural(self.evidenced, 'row')} not in the row"

    def _cascade_line(self) -> str:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.escalated.most_common())
        asked = self.escalated.total()
        line = f"cascade: {plural(self.sufficed, 'row')} by a cheaper model, {asked:,} passed on" + (
            f" ({reasons})" if reasons else ""
        )
        if not self.saved:
            return line
        how = "less" if self.saved > 0 else "more"
        return f"{line} · about {dollars(abs(self.saved))} {how} than the dearest model alone"
