# Two commands on a fresh machine with Python 3.11+ and make: `make run` and `make test`.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
REF    ?= intra-org/research-and-write@1.0.0
PAIRS  ?= 30
RUNS   ?= 3000
ROUNDS ?= 50
TOPIC  ?= How autonomous agents earn trust
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help run serve llm otel demo-cp test check bench soak docs requirements format lock clean

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.run ## Run a scenario end to end, watched live (REF=pack/scenario@version TOPIC="…")
	@$(BIN)/aitp-playground run $(REF) --input topic="$(TOPIC)"

serve: $(VENV)/.run ## Start the server
	@$(BIN)/aitp-playground serve

llm: $(VENV)/.llm ## Install what a language model needs (LLM_PROVIDER)

otel: $(VENV)/.otel ## Install what exports traces (OTEL_EXPORTER_OTLP_ENDPOINT)

demo-cp: $(VENV)/.run ## Run every scenario that uses a Control Plane, on one of its own, and show what it holds
	@$(BIN)/python -m aitp_playground.cli.control_plane.demo

test: $(VENV)/.dev ## Run the tests
	$(BIN)/python -m pytest -n auto --dist loadfile

check: $(VENV)/.dev ## Lint, format, types, import rules, circles, file lengths, shipped scenarios
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src agents
	PYTHONPATH=src:agents $(BIN)/lint-imports --no-logo
	$(BIN)/python -m tests.checks
	$(BIN)/aitp-playground lint --strict scenarios

bench: $(VENV)/.dev ## Measure; against another version pair by pair with AGAINST=<checkout>
	$(BIN)/python -m $(if $(AGAINST),tests.bench.against $(AGAINST) --pairs $(PAIRS),tests.bench)

soak: $(VENV)/.dev ## Try for long what only shows after many rounds (RUNS=3000 ROUNDS=50)
	$(BIN)/python -m tests.bench.soak --runs $(RUNS) --rounds $(ROUNDS)

docs: $(VENV)/.dev ## Write what is made from the code: the schema of scenario files, the API's contract, the references of step types and settings
	$(BIN)/aitp-playground schema --output scenarios/scenario.schema.json
	$(BIN)/aitp-playground openapi --output docs/openapi.json
	$(BIN)/python -m tests.support.step_reference docs/steps.md
	$(BIN)/python -m tests.support.settings_reference docs/settings.md

requirements: $(VENV)/.dev ## Write docs/requirements.md from a run of the tests that show them
	$(BIN)/python -m pytest tests/interop -q --requirements docs/requirements.md

format: $(VENV)/.dev ## Put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.dev ## Resolve the dependencies anew and lock them with hashes
	$(BIN)/uv pip compile $(LOCK) --group build pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile $(LOCK) --group build --extra llm -c requirements.lock pyproject.toml -o requirements-llm.lock
	$(BIN)/uv pip compile $(LOCK) --group build --extra otel -c requirements.lock pyproject.toml -o requirements-otel.lock
	$(BIN)/uv pip compile $(LOCK) --group dev --all-extras -c requirements-llm.lock -c requirements-otel.lock pyproject.toml -o requirements-dev.lock

LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade

clean: ## Remove what was made
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; say which one: make PYTHON=python3.12 …" >&2; exit 1; }
	@echo "Setting up $(VENV) …" >&2
	@$(PYTHON) -m venv $(VENV)

# The stamps are newer than the locks they were made from; a changed lock installs again.
$(VENV)/.run: requirements.lock pyproject.toml | $(VENV)/bin/python
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.llm: requirements-llm.lock $(VENV)/.run
	@$(PIP) install --require-hashes -r requirements-llm.lock
	@touch $@

$(VENV)/.otel: requirements-otel.lock $(VENV)/.run
	@$(PIP) install --require-hashes -r requirements-otel.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(VENV)/bin/python
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $(VENV)/.run $(VENV)/.llm $(VENV)/.otel $@
