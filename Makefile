# Each target works alone on a fresh clone: it makes its own virtual environment first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-lowest clean

.venv/bin/python:
	$(PYTHON) -m venv .venv

demo: .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[demo]'
	$(BIN)/traqpoint demo --out demo

test: .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pytest -n auto

# The oldest pycolmap that the extra sfm allows.
test-lowest: .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]' pycolmap==4.0.0
	$(BIN)/python -m pytest tests/sfm tests/io tests/evaluation/benchmarks tests/cli/test_sfm_verbs.py

clean:
	rm -rf .venv demo
