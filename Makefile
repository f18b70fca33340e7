# quickstart and test set up everything themselves; nothing else is needed but Python 3.11+, make and a C library.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# S3-compatible servers other than AWS refuse the newer default checksums.
export AWS_REQUEST_CHECKSUM_CALCULATION ?= when_required

.PHONY: quickstart test check bench cluster-demo reference lint types install clean

quickstart: install ## set up, then the main job on embedded defaults
	$(BIN)/python jobs/slimdiffsr.py quickstart/slimdiffsr

test: install ## set up, then the tests on two workers (at most 25 minutes on 2 cores)
	$(BIN)/python -m pytest -m "not long" --numprocesses 2

check: test ## the tests, and the long runs, some of which need g++
	$(BIN)/python -m pytest -m long

bench: install ## what is measured, with hardware, versions and date
	$(BIN)/python benchmarks/run_all.py

cluster-demo: install ## three nodes on this machine: every job submitted, a node lost in each
	$(BIN)/python cluster/local/demo.py

reference: install ## pages of all docstrings, below build/reference
	$(BIN)/python docs/reference.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt "setuptools<81" "pip>=25"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[eval,export,dev]"
	touch $(STAMP)

clean: ## remove the environment and caches, not runs/
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build *.egg-info
