"""How many threads the embedded model may have.

Its threads wait for each other after every layer, spinning: with one thread more than there are free
cores, measured on two cores with two other busy processes, it wrote under 1 token a second instead of
7 with a single thread (quiet: 86 with two threads, 52 with one). So it takes only cores that are free.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["free_cores"]

MOST = 8
"""More threads gain nothing with models of a size that one runs without a GPU."""

CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def free_cores() -> int:
    """Cores that this process may use and that were idle over the last minute; 1 to 8."""
    idle = min(_allowed(), _quota(CGROUP_QUOTA), MOST + _load()) - _load()
    return max(round(idle), 1)


def _allowed() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota(file: Path) -> float:
    """The cores that a container is granted: "QUOTA PERIOD" in microseconds (cgroup v2), inf without."""
    try:
        quota, period = file.read_text().split()
        return max(1, math.floor(int(quota) / int(period)))
    except (OSError, ValueError):
        return math.inf


def _load() -> float:
    try:
        return os.getloadavg()[0]
    except OSError:
        return 0.0
