#!/bin/sh
# Who is to be contacted? Five messages in JSON Lines, an inline schema, the embedded model: no key, no network.
# --spans lets text fields be nothing but pieces of the row, word for word, which a small model needs.
cd "$(dirname "$0")" && PATH="$PWD/../../.venv/bin:$PATH"
llmx extract contacts.jsonl \
    --schema 'name: full name of the person, email, phone: telephone number, company' \
    --key id --model local --spans \
    --output out.jsonl "$@"
