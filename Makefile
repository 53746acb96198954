# `make demo` and `make test` do all there is to do on a fresh checkout; the rest are their parts.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet -c constraints.txt
NODE_MODULES := dgm_tb_frontend/node_modules/.package-lock.json
# The tests run torch and numba kernels of their own; one thread each keeps two cores for browser and server.
TEST_ENV := OMP_NUM_THREADS=1

.PHONY: demo test lint types unit bundle frontend browser clean

demo: .venv/.demo
	$(BIN)/dgm-tb demo $(DEMO_ARGS)

test: lint types frontend unit

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: .venv/.test
	$(BIN)/mypy

unit: .venv/.test browser
	$(TEST_ENV) $(BIN)/python -m pytest $(PYTEST_ARGS)

# Rebuilding must reproduce the committed bundle byte for byte.
frontend: $(NODE_MODULES)
	cd dgm_tb_frontend && npm run check && npm test && npm run build
	git diff --exit-code --stat -- dgm_tb/plugin/static

bundle: $(NODE_MODULES)
	cd dgm_tb_frontend && npm run build

browser:
	@command -v chromium > /dev/null || { \
	  echo "installing Debian's Chromium for the browser tests"; \
	  SUDO=$$([ $$(id -u) = 0 ] || echo sudo); \
	  $$SUDO apt-get update -q && $$SUDO apt-get install -y -q --no-install-recommends chromium fonts-dejavu-core; }

.venv/.python:
	$(PYTHON) -m venv .venv
	touch $@

# torch by itself first: the pinned release, before any other package asks for a newer one.
.venv/.demo: .venv/.python setup.py constraints.txt
	$(PIP) torch
	$(PIP) -e '.[demo]'
	touch $@

.venv/.test: .venv/.demo
	$(PIP) -e '.[test]'
	touch $@

$(NODE_MODULES): dgm_tb_frontend/package-lock.json
	cd dgm_tb_frontend && npm ci --no-audit --no-fund
	touch $@

clean:
	rm -rf .venv dgm_tb_frontend/node_modules build *.egg-info
