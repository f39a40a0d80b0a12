"""Static embeddings of texts: the mean of their tokens' vectors, from files that an installed package brings.

The files are those of wordllama (https://github.com/dleemiller/WordLlama, MIT): a tokenizer, and 32,000 vectors of 256
dimensions. They are read here and not by the package itself, whose loader looks for its tokenizer in a folder that the
wheel does not have and then downloads it, and whose import turns logging on. Nothing is ever fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmx.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DIMENSIONS", "Embedding", "embeddings", "similarity"]

DIMENSIONS = 256

TOKENIZER = Path("tokenizers", "l2_supercat_tokenizer_config.json")
WEIGHTS = Path("weights", f"l2_supercat_{DIMENSIONS}.safetensors")

HINT = "pip install wordllama, which is the extra `semantic`"


class Embedding:
    """See the module. The files are read when they are first needed: a fifth of a second, and 65 MB.

    Raises:
        UsageError: the extra is not installed, or is one of another version.
    """

    def __init__(self) -> None:
        self._folder = embeddings()

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self._folder / TOKENIZER))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def _vectors(self) -> NDArray[np.float16]:
        from safetensors import safe_open

        with safe_open(str(self._folder / WEIGHTS), framework="np") as file:
            vectors: NDArray[np.float16] = file.get_tensor("embedding.weight")
        return vectors

    def known(self, word: str) -> bool:
        """Whether the vocabulary has a word, in small letters, as a whole."""
        return self._tokenizer.token_to_id("\u2581" + word) is not None

    def of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of length 1, one for each text; a text without tokens has one of length 0.

        Returns:
            an array of shape (texts, 256).
        """
        import numpy as np

        found = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        for number, tokens in enumerate(encoded):
            if tokens.ids:
                found[number] = self._vectors[tokens.ids].mean(axis=0, dtype=np.float32)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        unit: NDArray[np.float32] = (found / np.where(lengths == 0, 1, lengths)).astype(np.float32)
        return unit


def similarity(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The cosine of two vectors of length 1, from -1 to 1."""
    return float(one @ other)


def embeddings() -> Path:
    """Where the package is, which is not imported. Raises UsageError: it is not installed, or of another version."""
    found = find_spec("wordllama")
    if found is None or found.origin is None or not (find_spec("tokenizers") and find_spec("safetensors")):
        raise UsageError("--cache semantic needs local embeddings, which are an extra", hint=HINT)
    folder = Path(found.origin).parent
    for file in (TOKENIZER, WEIGHTS):
        if not (folder / file).is_file():
            raise UsageError(f"--cache semantic: {str(folder)!r} has no {str(file)!r}", hint=HINT)
    return folder
