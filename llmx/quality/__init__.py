"""How far an answer can be trusted: what several answers agree on, which words of the row each value rests on.

It stands between schemas and layers: it looks at answers that have come, and calls nobody.
"""

from __future__ import annotations

__all__: list[str] = []
