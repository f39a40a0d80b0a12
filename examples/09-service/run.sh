#!/bin/sh
# The service, asked with curl: a file is uploaded as a job, and its rows are read while they come.
# Needs OPENAI_API_KEY. Another port than 8090: PORT=9000. Options are handed on to llmx serve.
set -eu
cd "$(dirname "$0")" && PATH="$PWD/../../.venv/bin:$PATH"
service=http://127.0.0.1:${PORT:-8090}

llmx serve --port "${PORT:-8090}" --data out.service -m openai/gpt-5-mini "$@" 2>out.serve.log &
trap 'kill $! 2>/dev/null && wait $! || true' EXIT
until curl --silent --fail --output /dev/null "$service/readyz"; do
    kill -0 $! 2>/dev/null || { cat out.serve.log >&2; exit 1; }
    sleep 0.1
done

job=$(curl -sS --fail-with-body "$service/v1/jobs" -H 'Idempotency-Key: messages-1' -o out.job.json -w '%header{location}' \
    -F 'request=<request.json;type=application/json' -F 'file=@messages.csv;type=text/csv')
curl -sS --no-buffer --fail-with-body "$service$job/results?follow=true" -o out.jsonl
curl -sS --fail-with-body "$service$job" -o out.job.json
