"""When two rows say the same: local embeddings for how alike they are, and guards for what similarity does not see.

`reading` turns a text into what it says, token by token; `guards` compares two texts or rows; `embedding` measures their
similarity; `words` is the knowledge that these have of languages. Pure functions, but for the embedding's own files: what
is stored, and where, is `llmx.caches.semantic`.
"""

from __future__ import annotations

__all__: list[str] = []
