"""Rows in and rows out: readers, writers, and the shape of an output row.

`open_source` turns files, folders and stdin into one lazy iterator of records; `open_sink` writes rows
so that an output file is absent, old or complete. Nothing here knows of models, prompts or runs.
"""

from __future__ import annotations

from llmx.records.compression import MAX_EXPANSION
from llmx.records.formats import FORMATS, SINK_FORMATS
from llmx.records.growing import Growing, Mark
from llmx.records.lines import MAX_ROW_BYTES
from llmx.records.outputs import is_stream, same_file, sink_format
from llmx.records.partials import partial_of
from llmx.records.reader import Unreadable
from llmx.records.shape import Shape, error_row
from llmx.records.sink import Sink, check_output, open_sink
from llmx.records.source import RecordSource, open_source
from llmx.records.values import flatten, to_json

__all__ = [
    "FORMATS",
    "MAX_EXPANSION",
    "MAX_ROW_BYTES",
    "SINK_FORMATS",
    "Growing",
    "Mark",
    "RecordSource",
    "Shape",
    "Sink",
    "Unreadable",
    "check_output",
    "error_row",
    "flatten",
    "is_stream",
    "open_sink",
    "open_source",
    "partial_of",
    "same_file",
    "sink_format",
    "to_json",
]
