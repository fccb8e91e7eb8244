# Each target works alone on a fresh clone: it makes its own virtual environment first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test clean

.venv/bin/python:
	$(PYTHON) -m venv .venv

demo: .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[demo]'
	$(BIN)/traqpoint demo --out demo

test: .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pytest -n auto

clean:
	rm -rf .venv demo
