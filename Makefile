# Everything a newcomer or a CI run types.  `make help` lists it.
SHELL := /bin/sh
BIN := .venv/bin
# Tests of mounts often wait: more jobs than processors.  A file's tests stay together, because they share mounts, and files
# go in the order of collection (by folder, the long ones first), not that of how many tests they have.
JOBS ?= 3
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev mount test check fmt bench docs build clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what is missing and make .venv/bin/ai-vcs
	@tools/setup.sh

setup-dev: ## setup, with the checks and the tests' tools
	@tools/setup.sh tests

mount: setup ## REPO=<repository> DIR=<directory>: mount a view (OPTS: more options of `ai-vcs mount`)
	@test -n "$(REPO)" && test -n "$(DIR)" || { echo 'usage: make mount REPO=<repository> DIR=<directory>' >&2; exit 2; }
	@$(BIN)/ai-vcs init --quiet "$(REPO)"
	@$(BIN)/ai-vcs mount $(OPTS) "$(REPO)" "$(DIR)"

test: setup-dev check ## the checks, then the tests (SLOW=1 adds those that take minutes, JOBS=1 one after the other, ARGS=... goes to pytest)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(if $(SLOW),--slow) $(ARGS)

check: ## formatting, lint, types, import directions, spelling, sizes
	@tools/setup.sh dev
	@$(BIN)/python -m anvcs_tools.checks

fmt: ## format the code and apply safe lint fixes
	@tools/setup.sh dev
	@$(BIN)/ruff format core anvcsfs tools tests
	@$(BIN)/ruff check --fix-only --quiet core anvcsfs tools tests

bench: ## measure each kind of work in a view against a native directory (ARGS=...)
	@tools/setup.sh tests
	@$(BIN)/python -m anvcs_tools.bench $(ARGS)

docs: ## write the generated reference pages again
	@tools/setup.sh dev
	@$(BIN)/python -m anvcs_tools.refdocs

build: ## a source distribution and a wheel in dist/
	@tools/setup.sh dev
	@$(BIN)/python -m build

clean: ## remove caches, dist/ and .venv
	rm -rf dist build .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find core anvcsfs tools tests -name __pycache__ -type d -prune -exec rm -rf {} +
