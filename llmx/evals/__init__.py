"""Predictions against the right answers: figures per field, gates, comparisons of two runs.

`evaluate` is the way in; what it returns is what tables, pages and gates are made of. It asks no model and writes no file.
"""

from __future__ import annotations

from llmx.evals.evaluating import Options, evaluate, evaluated
from llmx.evals.evaluation import Disagreement, Evaluation, FieldScore

__all__ = ["Disagreement", "Evaluation", "FieldScore", "Options", "evaluate", "evaluated"]
