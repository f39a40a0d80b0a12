"""What the tests of containers share: the Dockerfile's instructions."""

from __future__ import annotations

import contained
import pytest
from contained import Instruction


@pytest.fixture(scope="session")
def instructions() -> list[Instruction]:
    """The Dockerfile's instructions in order."""
    return contained.instructions()


@pytest.fixture(scope="session")
def image(instructions: list[Instruction]) -> list[Instruction]:
    """Those of the last stage: what is in the image."""
    return [one for one in instructions if one.stage == instructions[-1].stage]
