#!/bin/sh
# A labelling job as CI runs it: label all messages, hold those that have gold against it, fail below a minimum.
# Needs OPENAI_API_KEY. Ends with 6 when the labels are not good enough, else as llmx extract does.
set -eu
cd "$(dirname "$0")" && PATH="$PWD/../../.venv/bin:$PATH"

llmx extract messages.csv \
    --schema 'topic delivery|billing|product|other, urgent bool: cannot wait for a day, order?: the order number' \
    --key id --model openai/gpt-5-mini \
    --max-cost 1 --max-failures 5% --summary out.run.json \
    --output out.jsonl "$@"

# For people: in the job's summary where there is one, else in a file. What it ends with is the verdict.
code=0
llmx eval out.jsonl --gold gold.csv --key id --min accuracy=0.8 --min topic.f1=0.7 --min urgent.accuracy=0.8 \
    --markdown >>"${GITHUB_STEP_SUMMARY:-out.md}" || code=$?
# For machines: the same figures, unrounded.
llmx eval out.jsonl --gold gold.csv --key id --json >out.eval.json
exit "$code"
