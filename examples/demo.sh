#!/bin/sh
# The first of README's two commands: set llmx up and show the main job with the embedded model.
set -eu
root=$(CDPATH='' cd "$(dirname "$0")/.." && pwd)
PATH="$root/.venv/bin:$PATH"

if [ -t 1 ]; then bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m'); else bold='' dim='' plain=''; fi
say() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }

say 'llmx turns rows of text into validated, typed rows with a language model.'
echo 'Here: whom to contact, out of five messages, by a small model inside the process. No key, nothing is sent anywhere.'
sh "$root/.ci/setup"
cd "$root/examples/01-contacts"

say '1. The input: examples/01-contacts/contacts.jsonl'
cat contacts.jsonl

say '2. The job'
printf '%s$ llmx extract contacts.jsonl \\\n' "$dim"
printf "      --schema 'name: full name of the person, email, phone: telephone number, company' \\\\\n"
printf '      --key id --model local --spans --keep id --output out.jsonl%s\n' "$plain"
sh run.sh --keep id --output out.jsonl

say '3. The validated rows: examples/01-contacts/out.jsonl'
cat out.jsonl

say 'Next: docs/quickstart.md, or any of the other examples/'
