# Front door of the study. No logic lives here: each target calls `cryhear` or a tool.
PARAMS ?= params/default.yaml
RUN ?= results/published
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.lock-$(shell cksum < requirements.lock | cut -d ' ' -f 1)
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet
WORKERS ?= 2
EXTRAS ?= report,yamnet,egemaps,hear-pytorch,test

.PHONY: help env report study book pdf publish data test test-full test-newest test-lowest coverage lint bench clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/'

env: $(STAMP) ## the environment of requirements.lock, in .venv

$(STAMP): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@if command -v uv >/dev/null; then \
	  echo "environment: uv installs the packages of requirements.lock into .venv (under a minute)"; \
	  uv pip install --quiet --python $(BIN)/python -r requirements.lock && \
	  uv pip install --quiet --python $(BIN)/python --no-deps -e .; \
	else \
	  echo "environment: pip installs the packages of requirements.lock into .venv (some minutes; with uv on the path, one)"; \
	  $(PIP) -r requirements.lock && $(PIP) --no-deps -e .; \
	fi
	@rm -f .venv/.lock-*
	@touch $@

report: $(STAMP) ## run the default study and build its book to _build/html
	@$(BIN)/cryhear report $(PARAMS)

study: $(STAMP) ## run another study and build its book: make study PARAMS=params/x.yaml
	@$(BIN)/cryhear report $(PARAMS)

book: $(STAMP) ## build the published run's book; runs nothing
	@$(BIN)/cryhear book

pdf: $(STAMP) ## print the published run's book to _build/cryhear.pdf (needs a Chromium)
	@$(BIN)/cryhear pdf

publish: $(STAMP) ## put a finished run under book/: make publish RUN=results/published
	@$(BIN)/cryhear publish $(RUN)

data: $(STAMP) ## rebuild data/ from recordings and say what changed
	@$(BIN)/cryhear data

test: lint ## lint, then every test that takes seconds, WORKERS side by side (2)
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile -m "not browser and not slow"

test-full: $(STAMP) ## the tests that take longer: in a browser, with TensorFlow, loops of kills, faults and broken files
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile -m "browser or slow"

# Without the lock file: both ends of what pyproject.toml admits. TensorFlow (`hear`) is left out, as it
# and the CUDA build of PyTorch, which these would get, end a process that loads both.
test-newest: ON ?= 3.13
test-newest: CHOICE := highest
test-newest: ## every test but the browser's, with the newest packages, in .venv-newest (needs uv)

test-lowest: ON ?= 3.11
test-lowest: CHOICE := lowest-direct
test-lowest: ## the same with the lowest versions of pyproject.toml, in .venv-lowest

test-newest test-lowest: test-%:
	@command -v uv >/dev/null || { echo "uv is needed to choose the versions: pip install uv" >&2; exit 1; }
	uv venv --quiet --clear --python $(ON) .venv-$*
	uv pip install --quiet --python .venv-$*/bin/python --resolution $(CHOICE) -e '.[$(EXTRAS)]'
	.venv-$*/bin/python -m pytest -q -n $(WORKERS) --dist loadfile -m "not browser"

coverage: $(STAMP) ## every test but the browser's, and how much of the library they run
	@$(BIN)/python -m pytest -q -m "not browser" --cov --cov-report=term

lint: $(STAMP) ## ruff, its formatter, mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(STAMP) ## measure speed side by side: what has no result of this code
	@$(BIN)/python -m benchmarks --resume

clean: ## take away what can be made again: books, runs, caches (not the environment)
	rm -rf _build results .snakemake .pytest_cache .ruff_cache .mypy_cache .venv-newest .venv-lowest
