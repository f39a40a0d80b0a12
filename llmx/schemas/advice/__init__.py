"""Rules about what lowers accuracy, with the evidence for each, and what they find in a schema."""

from __future__ import annotations

from llmx.schemas.advice.advise import Advice, advise, codes_of
from llmx.schemas.advice.rules import RULES, Evidence, Rule

__all__ = ["RULES", "Advice", "Evidence", "Rule", "advise", "codes_of"]
