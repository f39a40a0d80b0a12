#!/bin/sh
# llmx from Python: rows from a list, values as instances of a Pydantic class, results as they come.
# The same engine as the command's: cache, retries, pacing and re-asks included. Needs OPENAI_API_KEY.
cd "$(dirname "$0")" && PATH="$PWD/../../.venv/bin:$PATH"
python library.py > out.jsonl
