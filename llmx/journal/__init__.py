"""A run on disk: its journal, the index over it, its manifest and its lock.

`Journal` is what the layers and the composition root use; nothing here knows rows' formats, prompts or
providers beyond the types. `lines` is the file format, `index` what is looked up in it, `folder` where it lies.
"""

from __future__ import annotations

from llmx.journal.answers import AnswerLine, Found
from llmx.journal.folder import (
    STATE,
    RunFolder,
    folders_in,
    forget_old,
    fresh_folder,
    run_folder,
    runs_home,
)
from llmx.journal.index import Known, settled_so_far
from llmx.journal.journal import Journal, identity
from llmx.journal.lock import Lock
from llmx.journal.manifest import AtRisk, InputFile, Manifest, read_manifest, write_manifest
from llmx.journal.prefix import Chain, Checkpoint, Prefix
from llmx.journal.recent import NoJournal
from llmx.journal.totals import Totals
from llmx.journal.view import JournalView, first_lines

__all__ = [
    "STATE",
    "AnswerLine",
    "AtRisk",
    "Chain",
    "Checkpoint",
    "Found",
    "InputFile",
    "Journal",
    "JournalView",
    "Known",
    "Lock",
    "Manifest",
    "NoJournal",
    "Prefix",
    "RunFolder",
    "Totals",
    "first_lines",
    "folders_in",
    "forget_old",
    "fresh_folder",
    "identity",
    "read_manifest",
    "run_folder",
    "runs_home",
    "settled_so_far",
    "write_manifest",
]
