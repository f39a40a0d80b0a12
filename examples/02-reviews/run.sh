#!/bin/sh
# Product reviews from CSV to CSV: two choices and a number, as an inline schema. Needs OPENAI_API_KEY.
# The model never sees the column `gold`: it stays in the output, so that you can compare.
cd "$(dirname "$0")" && PATH="$PWD/../../.venv/bin:$PATH"
llmx extract reviews.csv \
    --schema 'sentiment positive|negative|neutral: of the author, topic: the product in one or two words, stars 1|2|3|4|5' \
    --model openai/gpt-5-mini \
    --output out.csv "$@"
