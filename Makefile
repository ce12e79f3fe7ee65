# Targets for contributors; see CONTRIBUTING.md. Each makes the environment if it is missing.

PYTHON ?= python3
BIN = .venv/bin
DATABASE ?= dev.db
PAGES = app/dashboard/templates app/dashboard/static app/dashboard/translations

.PHONY: help test fast lint format serve bench

help:
	@echo "make test    all tests, with formatting, lint and types"
	@echo "make fast    the tests that are not slow, in half a minute"
	@echo "make lint    formatting, lint and types alone"
	@echo "make format  let ruff format the code and fix what it can"
	@echo "make serve   a server without keys on $(DATABASE); reloads code, templates and style sheets"
	@echo "make bench   list the benchmarks; make bench NAME=pages runs one"

$(BIN)/ready: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -e '.[test]'
	@touch $@

test: $(BIN)/ready
	$(BIN)/pytest

fast: $(BIN)/ready
	$(BIN)/pytest -m "not slow"

lint: $(BIN)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(BIN)/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

serve: $(BIN)/ready
	$(BIN)/flask --app 'app:create_app(database="$(DATABASE)", auth=False)' run --debug --port 8000 \
	  --extra-files "$$(find $(PAGES) -type f | paste -sd:)"

bench: $(BIN)/ready
	$(BIN)/pip install -q -e '.[bench]'
	$(BIN)/python -m bench $(NAME)
