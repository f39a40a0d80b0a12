"""Plans in figures: what a run would ask, use, cost and take, before it is begun.

`estimate` is the way in, `document` its JSON. Nobody is called, unless a probe is asked for.
"""

from __future__ import annotations

from llmx.estimates.document import document
from llmx.estimates.estimate import Estimate, ModelEstimate, estimate

__all__ = ["Estimate", "ModelEstimate", "document", "estimate"]
