#!/bin/sh
# A folder of notes to the names in them: every file is a row {path, text}; the ready-made schema `entities`
# gives a list, --explode makes a row of each of its elements. Needs ANTHROPIC_API_KEY.
cd "$(dirname "$0")" && PATH="$PWD/../../.venv/bin:$PATH"
llmx extract notes \
    --schema entities --explode entities --input text --keep path \
    --model anthropic/claude-haiku-4-5 \
    --output out.jsonl "$@"
