# What one does with the project. `make` alone lists the targets.

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help run test check bench scale chaos format lock stop clean

# The first Python on the path that is new enough; `make PYTHON=...` overrides it.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for each in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	$$each -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$each && break; done)

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header --quiet
STOP := $(BIN)/python -c 'from config import embedded, services; embedded.stop(services.home())'

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: .venv/.ready-run ## start everything, and carry out one execution before your eyes
	@$(BIN)/python manage.py up --demo

test: .venv/.ready-tools ## run the tests, on services of their own
	@$(BIN)/python -m pytest -m "not bench" -n 4 --dist loadfile --no-loadscope-reorder

check: .venv/.ready-tools ## format, lint, types, imports, migrations, OpenAPI, compose.yaml
	@$(BIN)/ruff format --check --quiet . || { echo 'Not formatted: make format'; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@$(BIN)/python manage.py spectacular --validate --fail-on-warn --file /dev/null
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml

bench: .venv/.ready-tools ## measure, and print each figure with what it is
	@$(BIN)/python -m tests.benchmarks

scale: .venv/.ready-tools ## measure lists and tokens in a database with a million tasks
	@$(BIN)/python -m tests.benchmarks.scale

chaos: .venv/.ready-tools ## kill and restart processes in the middle of their work
	@SIGNALBOX_CHAOS_ROUNDS=20 $(BIN)/python -m pytest tests/chaos -m chaos --timeout 0
	@SIGNALBOX_CHAOS_ROUNDS=20 $(BIN)/python -m pytest -n 4 --dist loadfile --timeout 0 \
		$$(grep -rl --include='test_*.py' 'import IS_LONG' tests)

format: .venv/.ready-tools ## format, and repair what lint can repair
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: .venv/.ready-tools ## choose the newest versions that pyproject.toml allows
	@$(PIP) install uv
	@$(COMPILE) --upgrade --output-file requirements.lock
	@$(COMPILE) --upgrade --group tools --constraint requirements.lock --output-file .ci/tools.lock

stop: .venv/.ready-run ## stop embedded services that a killed start left running
	@$(STOP)

clean: ## remove what can be made again; .signalbox, with its database, stays
	@if [ -e .venv/.ready-run ]; then $(STOP); fi
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.ready-run: requirements.lock
	@if [ -z '$(PYTHON)' ]; then echo 'Signalbox needs Python 3.11 or later on the path,' \
		'or its place: make PYTHON=/path/to/python3.11'; exit 1; fi
	@$(PYTHON) -c '$(NEW_ENOUGH)' || { echo '$(PYTHON) is older than Python 3.11.'; exit 1; }
	@echo 'Installing the pinned packages into .venv'
	@$(PYTHON) -m venv .venv
	@$(PIP) install --require-hashes --requirement requirements.lock
	@touch $@

.venv/.ready-tools: .ci/tools.lock .venv/.ready-run
	@echo 'Installing the pinned tools into .venv'
	@$(PIP) install --require-hashes --requirement .ci/tools.lock
	@touch $@
