# Every target works in a fresh clone: it first installs what it needs into .venv.
# On Linux, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu makes torch a small download.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --quiet --disable-pip-version-check

.PHONY: help demo test quick fuzz week kills captions simulate soak ray-soak coverage lint lint-js format docs docs-check bench bench-real lock-images package release clean

help:  ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 12

demo: .venv/.installed  ## Transcribe the bundled recordings with the bundled model, then search them.
	$(BIN)/homescribe demo

test: .venv/.tested  ## Run all tests.
	-@$(BIN)/python tests/browser.py
	$(BIN)/pytest

quick: .venv/.tested  ## Run the tests that need no model, no browser and no container: four minutes on two cores.
	$(BIN)/pytest -m "not models and not browser and not containers and not slow" \
		--numprocesses auto --maxprocesses 4 --dist loadfile

fuzz: .venv/.tested  ## Run over thousands of damaged recordings, feeds and lists, from a random seed.
	HOMESCRIBE_FUZZ=$${HOMESCRIBE_FUZZ:-5000} HOMESCRIBE_FUZZ_SEED=$${HOMESCRIBE_FUZZ_SEED:-$$(date +%s)} \
		$(BIN)/pytest tests/test_fuzz.py

week: .venv/.tested  ## Run a simulated week of 20 feeds, folders and a channel with all kinds of hiccups.
	HOMESCRIBE_WEEK=20 $(BIN)/pytest tests/test_week.py

kills: .venv/.tested  ## Kill runs over one library at 200 random moments for each kind of engine: some minutes.
	HOMESCRIBE_KILLS=$${HOMESCRIBE_KILLS:-200} HOMESCRIBE_KILLS_SEED=$${HOMESCRIBE_KILLS_SEED:-$$(date +%s)} \
		$(BIN)/pytest tests/test_kills.py -s

captions: .venv/.tested  ## Make a channel of 430 videos searchable by captions, and upgrade it by killed runs: some minutes.
	HOMESCRIBE_CAPTIONED=430 $(BIN)/pytest tests/test_captioned_channel.py

simulate: .venv/.tested  ## Check the spending cap and the plan against 200 simulated runs.
	HOMESCRIBE_SIMULATIONS=200 $(BIN)/pytest tests/test_cost_simulation.py

soak: .venv/.tested  ## Run 430 videos through a stand-in for Modal with each engine, kills and an outage: half an hour.
	HOMESCRIBE_SOAK=full $(BIN)/pytest tests/test_modal_soak.py -s

ray-soak: .venv/.tested  ## Run 430 recordings over Ray while workers and clients are killed.
	HOMESCRIBE_SOAK=full $(BIN)/pytest tests/test_ray_soak.py -s

coverage: .venv/.tested  ## Run all tests and report the lines and branches that they do not reach.
	-@$(BIN)/python tests/browser.py
	$(BIN)/pytest --cov --cov-report=term --cov-report=html

lint: .venv/.tested  ## Check style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory lint-js; \
	else echo "JavaScript was not checked: install Node.js 20 or later, then run make lint again."; fi

lint-js: node_modules/.package-lock.json  ## Check the JavaScript of the web interface; needs Node.js.
	npm run --silent lint

node_modules/.package-lock.json: package-lock.json
	npm ci --silent --no-audit --no-fund
	touch $@

format: .venv/.tested  ## Format the code and fix what ruff can fix.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.tested  ## Write the command reference from --help, and the architecture's picture.
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/diagram.py

docs-check: .venv/.tested  ## Fail if the command reference is out of date or a link in the docs is broken.
	$(BIN)/python docs/generate.py --check

bench: .venv/.tested  ## Measure the stages of transcription, memory and the library, without other models.
	$(BIN)/python -m benchmarks.stages --lengths 10 60
	$(BIN)/python -m benchmarks.library_speed

bench-real: .venv/.tested  ## Compare with other tools: make bench-real DIR=recordings MODEL="base tiny.en".
	@test -n "$(DIR)" || { echo "DIR names a folder of recordings: see benchmarks/corpus.py."; exit 1; }
	$(PIP) install --group bench
	@$(BIN)/python -m benchmarks.report $(DIR) $(or $(MODEL),base)

lock-images: .venv/.tested  ## Lock the packages of the images at Modal, from what the engines state.
	$(BIN)/python .ci/lock_images.py

package: .venv/.tested  ## Build the archives, and run the demo from each as a user installs it; tag nothing.
	$(PIP) install --group release
	$(BIN)/python .ci/release.py --build

release: lint docs-check test  ## Check, build and tag the version in src/homescribe/__init__.py; upload nothing.
	$(PIP) install --group release
	$(BIN)/python .ci/release.py

clean:  ## Remove the environment and everything that was built.
	rm -rf .venv node_modules homescribe-demo dist htmlcov .coverage .coverage.*

.venv/.created:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "homescribe needs Python 3.11 or newer: make demo PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(PIP) install --upgrade 'pip>=25.1'
	touch $@

.venv/.installed: .venv/.created pyproject.toml
	$(PIP) install --editable '.[web,youtube]'
	touch $@

.venv/.tested: .venv/.installed
	$(PIP) install torch==2.13.0
	$(PIP) install --editable '.[all,whisper,ray,apprise]' --group test --group lint
	touch $@
