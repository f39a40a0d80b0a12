"""Names of jobs and events: ULIDs, which sort by the time they were made (https://github.com/ulid/spec); and of what
lies in the folder of uploads, so that nobody takes other files there for theirs."""

from __future__ import annotations

import re
import secrets
import time

__all__ = ["is_incoming", "is_job", "is_upload", "ulid", "upload_name"]

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's alphabet, in lower case: file systems that know no case may hold folders of these names."""

LETTERS, RANDOM_BITS = 26, 80

_UPLOAD = re.compile(r"upload-[0-9a-f]{16}")
_JOB = re.compile(rf"job_[{CROCKFORD}]{{{LETTERS}}}")


def ulid(prefix: str) -> str:
    """A new name: the prefix and 26 letters, of which the first ten are the milliseconds since 1970."""
    number = (time.time_ns() // 1_000_000) << RANDOM_BITS | secrets.randbits(RANDOM_BITS)
    return prefix + "".join(CROCKFORD[number >> 5 * place & 31] for place in reversed(range(LETTERS)))


def is_job(text: str) -> bool:
    """Whether a text may name a job: nothing else becomes a part of a path."""
    return _JOB.fullmatch(text) is not None


def upload_name() -> str:
    """A new name for a file that is being received."""
    return f"upload-{secrets.token_hex(8)}"


def is_upload(name: str) -> bool:
    """Whether a file may be one that was received."""
    return _UPLOAD.fullmatch(name) is not None


def is_incoming(name: str) -> bool:
    """Whether we may have put it among the uploads: one of them, or a job's folder that is being filled."""
    return is_upload(name) or (name.endswith(".new") and is_job(name.removesuffix(".new")))
