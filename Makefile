# Everything runs from .venv; nothing outside this folder is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000

.PHONY: install demo up test check bench clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# Real recordings through upload, submit, poll and fetch on a private stack; leaves nothing running.
demo: install
	$(BIN)/python examples/demo.py

up: install
	$(BIN)/asr-queue up --port $(PORT)

test: install
	$(BIN)/python -m pytest

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

# Ratios measured on this machine; results that matter are kept under benchmarks/results/.
bench: install
	$(BIN)/python benchmarks/cpu_engine.py
	$(BIN)/python benchmarks/queue_overhead.py

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
