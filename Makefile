# `make check` runs all that CI runs; the rest are its parts, with what is on PATH or in .venv.
PATH := $(CURDIR)/.venv/bin:$(PATH)
.PHONY: check demo format lint types test docs lock

check:
	sh tests/run.sh

demo:
	sh examples/demo.sh

format:
	ruff check --fix .
	ruff format .

lint:
	ruff check .
	ruff format --check .
	lint-imports --no-logo

types:
	mypy

test:
	pytest -n auto

docs:
	python docs/generate.py

lock:
	sh .ci/lock
