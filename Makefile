# Everything is installed into .venv, by the target that needs it. Needs Python 3.11 or newer.
#
#   make serve                       serve on 127.0.0.1:8080; more options: make serve ARGS="--port 8081"
#   make test                        all tests, with R and Chromium by apt where root may; some of them: make test ARGS="tests/core -x"
#   make lint, types, check          style; types; both and the tests
#   make bench, bench-full           the benchmarks, in minutes; at their whole scale (an hour)
#   make profile                     where the time of a hit goes, as a flame graph
#   make clean                       remove all that was made here
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: serve test lint types check bench bench-full profile clean

serve: $(VENV)/installed
	$(BIN)/pkgproxy serve $(ARGS)

test: $(VENV)/developed
	@tests/system
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/developed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/developed
	$(BIN)/mypy

check: lint types test

bench: $(VENV)/developed
	$(BIN)/python -m benchmarks $(ARGS)

bench-full: $(VENV)/developed
	$(BIN)/python -m benchmarks --full $(ARGS)

profile: $(VENV)/developed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check py-spy
	$(BIN)/python -m benchmarks.profile $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Half an environment would look like a whole one to the next run.
$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/developed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $(VENV)/installed $@
