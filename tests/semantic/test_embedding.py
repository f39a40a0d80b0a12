"""The embeddings: from the installed package's files, without the package and without a network."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from llmx.errors import UsageError
from llmx.semantic import embedding
from llmx.semantic.embedding import DIMENSIONS, Embedding, similarity

OFFLINE = """
import socket, sys
def refuse(*arguments, **options):
    raise AssertionError("a connection was tried")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from llmx.semantic.embedding import Embedding
vectors = Embedding().of(["a parcel from Paris"])
assert vectors.shape == (1, 256), vectors.shape
print(sorted({"wordllama", "requests", "torch", "huggingface_hub.file_download"} & set(sys.modules)))
"""


def test_nothing_is_fetched(tmp_path: object) -> None:
    """With a socket that refuses and an empty home, and the package's own loader is not imported."""
    variables = {**os.environ, "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE], env=variables, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_vectors_have_length_one() -> None:
    """But for a text without words."""
    vectors = Embedding().of(["the parcel is late", "x", ""])
    assert vectors.shape == (3, DIMENSIONS)
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 1, 0])


def test_what_is_alike_is_nearer() -> None:
    """A parcel is nearer to a package than to a tax."""
    parcel, package, tax = Embedding().of(["my parcel is late", "my package is late", "tax law of Peru"])
    assert similarity(parcel, package) > similarity(parcel, tax)


def test_words_are_known() -> None:
    """Those that the vocabulary has as a whole."""
    known = Embedding().known
    assert (known("receive"), known("recieve")) == (True, False)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install."""
    monkeypatch.setattr(embedding, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        Embedding()
    assert caught.value.hint == "pip install wordllama, which is the extra `semantic`"
