"""How long a run takes at the limits that are known: the slowest of them, and the last call.

    T = max(N / rpm, tokens / tpm, N latency / concurrency) + latency

which is what Little's law (J. D. C. Little, Operations Research 9(3), 1961, https://doi.org/10.1287/opre.9.3.383) and two
token buckets leave. Pure arithmetic: it does not know where the figures come from.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Pace", "RunTime", "run_time"]


class Pace(Struct, frozen=True):
    """What holds calls back.

    Args:
        rpm, tpm: requests, and tokens in and out, per minute; None where no limit is known.
        concurrency: calls in flight, from 1.
        latency: seconds of one call, None when nobody knows.
    """

    rpm: float | None
    tpm: float | None
    concurrency: int
    latency: float | None


class RunTime(Struct, frozen=True):
    """How long a run takes.

    Args:
        seconds: None when nobody knows.
        bottleneck: what it waits for: "rpm", "tpm" or "concurrency"; "" where there is nothing to do, or nothing known.
    """

    seconds: float | None
    bottleneck: str


def run_time(calls: float, tokens: float, pace: Pace) -> RunTime:
    """The time of `calls` that use `tokens` together, in and out.

    Where the latency is unknown, so is the time: the limits alone are only the least that it takes.
    """
    if calls <= 0:
        return RunTime(0.0, "")
    waits = {"concurrency": calls * (pace.latency or 0.0) / pace.concurrency}
    if pace.rpm is not None:
        waits["rpm"] = calls / pace.rpm * 60
    if pace.tpm is not None:
        waits["tpm"] = tokens / pace.tpm * 60
    if pace.latency is None:
        return RunTime(None, "")
    bottleneck = max(waits, key=lambda name: waits[name])
    return RunTime(waits[bottleneck] + pace.latency, bottleneck)
