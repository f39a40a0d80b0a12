#!/bin/sh
# Support tickets to teams: a prompt of one's own over the row's columns, and two solved rows that show the
# model what is wanted. Look at the request with: sh run.sh --dry-run. Needs OPENAI_API_KEY.
cd "$(dirname "$0")" && PATH="$PWD/../../.venv/bin:$PATH"
llmx extract tickets.jsonl \
    --schema 'team billing|delivery|account|other, urgent bool, order?: order number as written' \
    --system 'You sort messages to the support of a web shop.' \
    --prompt @prompt.txt --examples examples.jsonl --key id --keep id \
    --model openai/gpt-5-mini \
    --output out.jsonl "$@"
