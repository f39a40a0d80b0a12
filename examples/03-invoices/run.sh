#!/bin/sh
# Invoices in running text to one row per line of the invoice: a Pydantic model with nested lines and a
# validator of its own, --explode, and the input's text left out of the output. Needs OPENAI_API_KEY.
cd "$(dirname "$0")" && PATH="$PWD/../../.venv/bin:$PATH"
llmx extract invoices.jsonl \
    --schema invoice.py:Invoice --explode lines --key mail --keep mail \
    --model openai/gpt-5-mini \
    --output out.jsonl "$@"
