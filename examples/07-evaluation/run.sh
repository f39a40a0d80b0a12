#!/bin/sh
# Predictions against the right answers, with gates, and against those of an earlier prompt; asks no model.
# Exit code 6 when a figure is below its minimum, or a field is significantly worse than it was.
cd "$(dirname "$0")" && PATH="$PWD/../../.venv/bin:$PATH"
llmx eval predictions.jsonl --gold gold.jsonl --baseline earlier.csv \
    --min coverage=1 --min orders.f1=0.9 --min topic.accuracy_normalized=0.9 \
    --markdown "$@" > out.md
