# `make demo` and `make test` work in a fresh clone; both make an environment of their own in .venv.
# On Linux, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu makes torch a small download.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --quiet --disable-pip-version-check

.PHONY: demo test lint docs docs-check bench clean

demo: .venv/.installed  ## Do the main job for real on bundled speech, then search what was heard.
	$(BIN)/homescribe demo

test: .venv/.tested  ## Install what the tests need, and run them all.
	$(BIN)/pytest

lint: .venv/.tested  ## Style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/.tested  ## Write the command reference from --help.
	$(BIN)/python docs/generate.py

docs-check: .venv/.tested  ## Fail when the command reference or a link in the docs is stale.
	$(BIN)/python docs/generate.py --check

bench: .venv/.tested  ## Engines against what you would pick instead, at the size of tiny.en and small.en.
	$(PIP) install matplotlib
	$(BIN)/python -m benchmarks.engine --size tiny.en --minutes 10
	$(BIN)/python -m benchmarks.engine --size small.en --minutes 10
	$(BIN)/python -m benchmarks.library

clean:  ## Remove the environment and what the demo made.
	rm -rf .venv homescribe-demo

.venv/.created:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "homescribe needs Python 3.11 or newer: make demo PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(PIP) install --upgrade 'pip>=25.1'
	touch $@

.venv/.installed: .venv/.created pyproject.toml
	$(PIP) install --editable '.[web]'
	touch $@

.venv/.tested: .venv/.installed
	$(PIP) install torch==2.13.0
	$(PIP) install --editable '.[whisper,modal,web]' --group test --group lint
	command -v chromium chromium-browser google-chrome >/dev/null || $(BIN)/playwright install chromium
	touch $@
