# Everything from a bare machine: Python 3.11+, make and a package registry are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo test test-pacs lint lock clean

help:
	@echo "make demo   phantoms -> import -> train -> evaluate -> predict, with no data and no network"
	@echo "make test   lint and the whole test suite"
	@echo "make test-pacs  the tests with a real archive, Orthanc, which make test also runs where it is installed"
	@echo "make lint   ruff, mypy --strict, import-linter"
	@echo "make lock   pin every dependency anew, with hashes (needs uv)"
	@echo "make clean  remove the virtual environment and caches"

demo: $(VENV)/.train
	$(BIN)/carina demo --out demo

test: lint
	$(BIN)/python -m pytest --numprocesses logical --dist loadfile

test-pacs: $(VENV)/.dev
	$(BIN)/python -m pytest tests/end_to_end/test_pacs.py

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A stamp file a step: a second run finds it newer than its pins and does nothing.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Carina needs Python 3.11 or newer; run: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.train: requirements/train.txt pyproject.toml | $(BIN)/python
	@echo "Setting up $(VENV) (once; a few minutes, most of it TensorFlow) ..."
	$(PIP) install --no-deps --require-hashes --requirement requirements/train.txt
	$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.train
	$(PIP) install --no-deps --require-hashes --requirement requirements/dev.txt
	@touch $@

LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --quiet --extra train --group build
lock:
	$(LOCK) --output-file requirements/train.txt
	$(LOCK) --extra dicom --extra gdcm --group dev --constraint requirements/train.txt --output-file requirements/dev.txt

clean:
	rm -rf $(VENV) demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
