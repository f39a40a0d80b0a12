"""llmx's own folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Llmx


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_doctor_tells_of_a_home_that_others_may_write(llmx: Llmx, mode: int) -> None:
    """They could forge answers; llmx works all the same."""
    home = Path(llmx.env["LLMX_HOME"])
    home.mkdir()
    home.chmod(mode)
    done = llmx("doctor")
    assert done.code == 0
    assert f"--  home: {home}, where others may write  hint: chmod 700 {home}" in done.out.splitlines()
    home.chmod(0o755)
    assert f"ok  home: {home}, writable" in llmx("doctor").out.splitlines()
