# Matinee. `make help` lists the commands; each sets up what it needs by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
.DEFAULT_GOAL := help

help: ## what can be done here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

up: ## set up and run Matinee (ARGS="--data DIR --port 8080 --lan")
	@$(PYTHON) tools/setup.py run
	@exec $(BIN)/matinee up $(ARGS)

setup: ## set up only
	@$(PYTHON) tools/setup.py run

develop: ## set up with everything that tests need
	@$(PYTHON) tools/setup.py develop

test: develop ## set up and run all tests
	@$(BIN)/python tools/test.py $(ARGS)

check: develop ## what a commit must pass: format, lint, types, walls, fast tests
	@$(BIN)/ruff format --check src tests tools
	@$(BIN)/ruff check src tests tools
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest tests/unit tests/shape

bench: develop ## a table of figures beside their baselines (ARGS="AREA")
	@$(BIN)/matinee lab bench $(ARGS)

lock: ## pin every dependency anew
	@$(PYTHON) tools/setup.py lock

clean: ## drop the environment and everything built (the data directory stays)
	rm -rf $(VENV) web/node_modules web/dist build

.PHONY: help up setup develop test check bench lock clean
