# Each target works alone on a fresh clone: it makes its own virtual environment first.
PYTHON ?= python3
BIN := .venv/bin
OLDEST := .venv-oldest
EXTRAS := train eval sfm export openvino retrieval ray viz demo hub

.PHONY: demo test test-oldest test-slow coverage docs dist clean

.venv/bin/python:
	$(PYTHON) -m venv .venv

demo: .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[demo]'
	$(BIN)/traqpoint demo --out demo

test: .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pytest -n auto

# The oldest libraries that pyproject.toml allows, in an environment of their own. PyTorch is that of constraints.txt, since
# PyPI's old ones are CUDA builds; where pip has a CPU index: make test-oldest TORCH=torch==2.6.0
test-oldest:
	$(PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/python -m pip install -q --no-deps $(or $(TORCH),-c constraints.txt torch) uv
	VIRTUAL_ENV=$(OLDEST) $(OLDEST)/bin/uv pip install -q --resolution lowest-direct -r pyproject.toml $(EXTRAS:%=--extra %)
	VIRTUAL_ENV=$(OLDEST) $(OLDEST)/bin/uv pip install -q --no-deps -e .
	VIRTUAL_ENV=$(OLDEST) $(OLDEST)/bin/uv pip install -q pytest pytest-xdist hypothesis
	$(OLDEST)/bin/python -m pytest -n auto -m 'not slowest' --ignore tests/architecture --ignore tests/docs

# What `make test` leaves out: what takes a second or more; then, in one process, what takes minutes or an environment of its
# own: every command of the documents, the wheel, a training killed twenty times.
test-slow: .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pytest -n auto -m slow
	$(BIN)/python -m pytest -m slowest

# The lines that no test runs, by file.
coverage: .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pytest -n auto -m 'not slowest' --cov=traqpoint --cov-report=term-missing:skip-covered --cov-report=html

# The site, in site/index.html; a broken link is an error.
docs: .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[docs]'
	$(BIN)/python -m mkdocs build --strict --quiet

# A wheel and a source distribution, in dist/.
dist: .venv/bin/python
	$(BIN)/python -m pip install -q build
	$(BIN)/python -m build

clean:
	rm -rf .venv $(OLDEST) demo site dist htmlcov .coverage
