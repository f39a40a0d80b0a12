#!/bin/sh
# Set everything up and run every check. Arguments go to pytest alone: sh tests/run.sh tests/records -x
set -eu
cd "$(dirname "$0")/.."
sh .ci/setup .ci/requirements-dev.txt
sh .ci/programs
PATH="$PWD/.venv/bin:$PATH"
export PATH
# The embedded model's weights are the one thing fetched beside packages; tests only use the file.
python -m llmx.providers.weights
if [ $# -gt 0 ]; then
    exec pytest "$@"
fi
ruff check .
ruff format --check .
mypy
lint-imports --no-logo
# One more than there are cores: many tests wait for processes.
exec pytest -n "$(($(python -c 'import os; print(len(os.sched_getaffinity(0)))') + 1))" --dist worksteal
