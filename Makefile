# `make check` runs all that CI runs; the rest are its parts, with what is on PATH or in .venv.
PATH := $(CURDIR)/.venv/bin:$(PATH)
.PHONY: bench check containers demo format lint types test docs lock

check:
	sh tests/run.sh

containers:
	sh .ci/containers

demo:
	sh examples/demo.sh

# Every figure of benchmarks/results.md, some twenty minutes; each command takes options for shorter or longer runs.
bench:
	python benchmarks/throughput.py --env .bench --plot benchmarks/speed.svg
	python benchmarks/calls.py
	python benchmarks/latency.py
	python benchmarks/start.py
	python benchmarks/cached.py
	python benchmarks/resume.py
	python benchmarks/memory.py
	python benchmarks/large.py
	python benchmarks/workers.py
	python benchmarks/journal.py
	python benchmarks/evaluation.py
	python benchmarks/evidence.py
	python benchmarks/kills.py
	python benchmarks/pacing.py --env .bench
	python benchmarks/report.py
	python benchmarks/service.py --plot benchmarks/streams.svg

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
