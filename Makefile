# Every target sets up what it needs; `make help` lists them. A fresh machine needs python3 >= 3.11,
# git and make, and the network once.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
LOCKED := .venv/locked-packages-installed
READY := .venv/jmarl-installed
SPREAD := -n auto --maxprocesses 4 --dist worksteal
# what pip says of every small package; large downloads, warnings and errors are shown
DULL := /^(Collecting|Processing|Ignoring|Looking|Obtaining|Requirement|Successfully)|━|kB\)|bytes\)|^ *$$|is ignored: it is neither/

# pyright would ask the network for a newer release of itself
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: help setup fmt lint types test test-slow bench bench-envs bench-peers docs wheel lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(READY) ## make .venv: the locked packages, and jmarl editable; PYTHON=... chooses the interpreter

fmt: $(READY) ## format, and mend what ruff can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lint: $(READY) ## ruff: rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY) ## pyright
	$(BIN)/pyright

test: $(READY) ## pytest, a process for each core; PYTEST_ARGS="-k name -x" are passed on
	$(BIN)/pytest $(SPREAD) -m "not slow" $(PYTEST_ARGS)

test-slow: $(READY) ## what make test leaves out: more environments and algorithms, fully optimised
	JAX_DISABLE_MOST_OPTIMIZATIONS=false $(BIN)/pytest $(SPREAD) -m slow $(PYTEST_ARGS)

bench: $(READY) ## throughput of all algorithms, or of ALGO="qmix maddpg"
	$(BIN)/python benchmarks/throughput.py $(ALGO)

bench-envs: $(READY) ## speed of environments beside their libraries'; ENVS="mpe smax/3m" SIZES="1 64" choose
	$(BIN)/python benchmarks/environments.py $(if $(SIZES),--sizes "$(SIZES)") $(ENVS)

bench-peers: $(READY) ## training beside others: JAXMARL=, MADDPG=, MAAC=path/to/a/checkout; PEERS="qmix --rungs 8" chooses
	$(BIN)/python benchmarks/peers.py $(if $(JAXMARL),--jaxmarl "$(JAXMARL)") $(if $(MADDPG),--maddpg "$(MADDPG)") \
		$(if $(MAAC),--maac "$(MAAC)") $(PEERS)

docs: $(READY) ## write the API reference, docs/api, from docstrings
	$(BIN)/python docs/reference.py

bench-flat: $(READY) ## what must stay flat as environments, agents, steps and seeds grow; FLAT="iql --sizes 64,1024" chooses
	$(BIN)/python benchmarks/flat.py $(FLAT)

wheel: $(READY) ## build dist/jmarl-*.whl
	$(BIN)/hatchling build -t wheel

lock: $(READY) ## renew requirements.lock after a change of dependencies; LOCK_ARGS=--upgrade takes newer releases
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --quiet \
		--output-file requirements.lock $(LOCK_ARGS)

clean: ## remove all that make has made
	rm -rf .venv .cache dist

# Both files are touched last, so that an interrupted set-up is done again.
$(LOCKED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null \
		|| { echo 'jmarl needs Python 3.11 or newer: make setup PYTHON=/path/to/python3' >&2; exit 1; }
	@echo 'Installing the locked packages into .venv (1.4 GB, a few minutes the first time)'
	@if [ -L .venv ]; then rm .venv; fi # or the environment that it leads to would be emptied
	@$(PYTHON) -m venv --clear .venv
	@set -o pipefail; $(PIP) install --require-hashes -r requirements.lock 2>&1 | awk '$(DULL) { next } \
		/^Installing/ { $$0 = "  Installing " NF - 3 " packages" } { print; fflush() }'
	@touch $@

$(READY): pyproject.toml jmarl/__init__.py $(LOCKED)
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
