"""How much memory a program needs at most, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["peak_kib"]

# `ru_maxrss` begins with what the parent had when it forked, and pytest has more than most programs here will
# ever need: a bound on it could not fail. Linux counts VmHWM anew for every program.
TELL = """
import pathlib, re, resource
status = pathlib.Path("/proc/self/status")
peak = int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) if status.exists() else None
print(peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak_kib(program: str, *arguments: str | Path) -> int:
    """The peak of resident memory, in KiB, of a Python program that prints nothing and ends well."""
    command = [sys.executable, "-c", program + TELL, *map(str, arguments)]
    return int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
