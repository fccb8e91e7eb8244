# Each target works alone on a fresh clone: it makes its own virtual environment first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-lowest test-slow coverage docs dist clean

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

# What `make test` leaves out: every command of the documents, a wheel in an environment of its own, killed trainings.
test-slow: .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pytest -m slow

# The lines that no test runs, by file.
coverage: .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pytest -n auto --cov=traqpoint --cov-report=term-missing:skip-covered --cov-report=html

# The site, in site/index.html; a broken link is an error.
docs: .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[docs]'
	$(BIN)/python -m mkdocs build --strict --quiet

# A wheel and a source distribution, in dist/.
dist: .venv/bin/python
	$(BIN)/python -m pip install -q build
	$(BIN)/python -m build

clean:
	rm -rf .venv demo site dist htmlcov .coverage
