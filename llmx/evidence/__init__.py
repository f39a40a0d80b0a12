"""Evidence: where in a row's text the quotes stand that a model gives for its values.

`Aligner` finds quotes, `supported` finds values that came without one. Everything is computed from the text alone, so
that a span is never what a model says it is. Nothing here knows of models, rows, files or runs.
"""

from __future__ import annotations

from llmx.evidence.aligner import Aligner, align
from llmx.evidence.spans import Alignment
from llmx.evidence.support import supported

__all__ = ["Aligner", "Alignment", "align", "supported"]
