# Everything from a bare machine: Python 3.11+, make and a package registry are enough.
PYTHON ?= python3
VENV := .venv
# Windows keeps the programs of an environment elsewhere. Make was not tried there.
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo worklist test pytest test-long check test-pacs services lint docs dist lock clean

help:
	@echo "make demo       Run the whole way once on synthetic images: import, train, evaluate, predict. Needs no data."
	@echo "make worklist   The same, then show the worklist in a browser, filled with the synthetic images."
	@echo "make test       Run lint and the test suite (about five minutes on two cores)."
	@echo "make test-long  Run the long tests: more random examples, and the pins installed with old and new pip."
	@echo "make check      Run lint and the tests of the files that you changed."
	@echo "make test-pacs  Run the tests with a real archive, Orthanc. make test runs them too, if Orthanc is installed."
	@echo "make services   Install the programs that tests need (Debian, by apt-get): Chromium, Orthanc, DCMTK and others."
	@echo "make lint       Run ruff, mypy --strict, import-linter and codespell."
	@echo "make docs       Build the documentation as a site in site/; a warning is an error."
	@echo "make dist       Build the wheel, the source archive and the SBOM into dist/."
	@echo "make lock       Write requirements/*.txt: every dependency, pinned with hashes (needs uv)."
	@echo "make clean      Remove the virtual environment and all caches."

demo: $(VENV)/.train
	$(BIN)/carina demo --out demo

worklist: $(VENV)/.train
	$(BIN)/carina demo --serve --out demo

# Lint takes one core for half a minute, and tests that wait for other programs leave it.
test: $(VENV)/.dev
	@$(MAKE) --no-print-directory --jobs 2 lint pytest

# The tests start many processes, which would compile Carina each time where Python may keep nothing.
pytest test-long: export PYTHONDONTWRITEBYTECODE :=
# One process more than the cores that this process may use: tests wait for Chromium, Orthanc and what they start.
# macOS cannot tell them, so there all cores count.
PROCESSES = $(shell $(BIN)/python -c 'import os; print(1 + (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()))')
PYTEST = $(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist worksteal
pytest: $(VENV)/.dev
	$(PYTEST)

# Tests with the markers "sampled" and "hypothesis" (which Hypothesis sets itself) draw more cases here.
test-long: $(VENV)/.dev
	CARINA_TESTS=long $(PYTEST) -m "long or sampled or hypothesis"

check: lint
	$(BIN)/python tests/changed.py

test-pacs: $(VENV)/.dev
	$(BIN)/python -m pytest tests/end_to_end/test_pacs.py -m "long or not long"

services:
	@sh tests/services.sh

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

# A warning is an error, and each is shown.
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx --quiet --fail-on-warning -b html -c docs . site
	@echo "Open site/index.html"

dist: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist
	$(BIN)/python deploy/sbom.py dist/carina-cxr.cdx.json

# The files in requirements/ are complete, so pip must not resolve anything: it would look for the newest release of an
# extra, which has no hash there. tests/contract/test_requirements.py reads this line.
INSTALL := install --no-deps --require-hashes --requirement

# Each step leaves a stamp file: a second run finds it newer than its pins and does nothing.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else f"Carina needs Python 3.11, 3.12 or 3.13 (TensorFlow has no release for newer ones). $(PYTHON) is {sys.version.split()[0]}. Run: make PYTHON=python3.13 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.train: requirements/train.txt pyproject.toml | $(BIN)/python
	@echo "Setting up $(VENV) (once; a few minutes, most of it TensorFlow) ..."
	$(PIP) $(INSTALL) requirements/train.txt
	$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	$(PIP) check
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.train
	$(PIP) $(INSTALL) requirements/dev.txt
	$(PIP) check
	@touch $@

$(VENV)/.docs: requirements/docs.txt $(VENV)/.train
	$(PIP) $(INSTALL) requirements/docs.txt
	$(PIP) check
	@touch $@

LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --quiet --group build
lock:
	$(LOCK) --extra train --extra serve --output-file requirements/train.txt
	$(LOCK) --extra train --extra dicom --extra gdcm --extra hub --extra mlflow --extra serve --extra postgresql --extra cluster --group dev --constraint requirements/train.txt --output-file requirements/dev.txt
	$(LOCK) --group docs --constraint requirements/dev.txt --output-file requirements/docs.txt

clean:
	rm -rf $(VENV) demo dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
