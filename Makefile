# Matinee. `make help` lists the commands; each sets up what it needs by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
.DEFAULT_GOAL := help

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

up: ## set up and run Matinee (ARGS="--data DIR --port 8080 --lan --profile distributed")
	@$(PYTHON) tools/setup.py run $(ARGS)
	@exec $(BIN)/matinee up $(ARGS)

setup: ## set up only
	@$(PYTHON) tools/setup.py run

develop: ## set up with everything that tests and builds need
	@$(PYTHON) tools/setup.py develop

test: develop ## set up and run all tests
	@$(BIN)/python tools/test.py $(ARGS)

check: develop ## check what a commit must pass: format, lint, types, contracts, fast tests
	@$(BIN)/ruff format --check src tests tools
	@$(BIN)/ruff check src tests tools
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest tests/unit tests/shape

bench: develop ## measure against baselines (ARGS="AREA")
	@$(BIN)/matinee lab bench $(ARGS)

wheel: develop ## build the wheel into build/wheel
	@$(BIN)/hatchling build -t wheel -d build/wheel

lock: ## update the locks of all dependencies
	@$(PYTHON) tools/setup.py lock

clean: ## remove the environment and everything built (the data directory is kept)
	rm -rf $(VENV) web/node_modules web/dist build

.PHONY: help up setup develop test check bench wheel lock clean
