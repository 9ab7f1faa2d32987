.DEFAULT_GOAL := help
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Hundreds of processes start in the tests: none may have to compile its libraries anew. Empty is unset.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo test coverage contract campaign mutants model sam sam-local aws-check lock scan audit

help: ## Show this help
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

$(VENV)/.ready: requirements.lock requirements-demo.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-bootstrap.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements-demo.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

setup: $(VENV)/.ready ## Create .venv from the lock file

COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11

# The last are their own source; --upgrade forgets the digests of the version before.
lock: setup ## Recompile every hashed requirements file but the demo's; Node's lock is npm's
	$(COMPILE) src/requirements.in -o src/requirements.txt
	$(COMPILE) --extra local --extra dev pyproject.toml -o requirements.lock
	$(COMPILE) requirements-sam.in -o requirements-sam.txt
	for name in scan/requirements-*.in benchmarks/peers/*.in; do $(COMPILE) $$name -o $$${name%.in}.txt || exit 1; done
	for file in requirements-bootstrap.txt functions/*/requirements.txt; do \
	  grep -o '^[a-z].*==[^ ]*' $$file | $(COMPILE) --upgrade - -o $$file || exit 1; \
	done

demo: setup ## Turn the whole loop twice on real data, here
	$(BIN)/python examples/flights/demo.py

PARALLEL := --numprocesses 2 --dist loadfile --no-loadscope-reorder # the order is tests/conftest.py's

test: setup ## Run every check and every test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/cfn-lint template.yaml
	$(BIN)/pytest $(PARALLEL)

coverage: setup ## Run every test and show the lines none of them reaches
	$(BIN)/pytest $(PARALLEL) --cov --cov-report term-missing:skip-covered

ENDPOINT ?= local

contract: setup ## Hold the local stack to AWS's contract; ENDPOINT=aws asks YOUR account instead (costs about 2 USD)
	CONTRACT_ENDPOINT=$(ENDPOINT) $(BIN)/pytest tests/contract

campaign: setup ## Run every case of the fault campaign at its full size and write its table (27 minutes on two processors)
	CAMPAIGN=full $(BIN)/python -m pytest -p tests.campaign.table --campaign-table docs/reliability.md -m case $(PARALLEL)

mutants: setup ## Plant the twelve mutants one by one; each must turn a test of a case red; writes their table
	$(BIN)/python -m tests.campaign.plant --table docs/reliability.md

model: setup ## Search every state of the champion protocol, whole and with each part taken away (needs spin and gcc)
	$(BIN)/python tests/model/check.py

SAM_VENV := .sam-venv
SAM_PATH := PATH="$(CURDIR)/$(SAM_VENV)/bin:$(CURDIR)/$(BIN):$$PATH" SAM_CLI_TELEMETRY=0
SAM := $(SAM_PATH) $(SAM_VENV)/bin/sam

$(SAM_VENV)/.ready: requirements-sam.txt | $(VENV)/.ready
	$(BIN)/uv venv --quiet --clear --python $(PYTHON) $(SAM_VENV)
	$(BIN)/uv pip install --quiet --python $(SAM_VENV)/bin/python --require-hashes -r requirements-sam.txt
	@touch $@

sam: $(SAM_VENV)/.ready ## Validate the template and build what `sam deploy` uploads
	$(SAM) validate --lint
	$(SAM) build
	$(BIN)/python sam/sizes.py

sam-local: sam ## Run every function with `sam local invoke`, beside the local runtime (needs Docker, or root on Debian)
	$(SAM_PATH) $(BIN)/python sam/compare.py

aws-check: sam ## Deploy to YOUR account, turn the wheel once, take everything down (REGION=, FLIGHTS=, WEATHER=)
	$(SAM_PATH) $(BIN)/python sam/aws_check.py --region "$(REGION)" "$(FLIGHTS)" "$(WEATHER)"

SCAN := .scan

$(SCAN)/.ready: scan/requirements-checkov.txt scan/requirements-tools.txt scan/package-lock.json scan/nag.mjs | $(VENV)/.ready
	for name in checkov tools; do \
	  $(BIN)/uv venv --quiet --clear --python $(PYTHON) $(SCAN)/$$name && \
	  $(BIN)/uv pip install --quiet --python $(SCAN)/$$name/bin/python --require-hashes -r scan/requirements-$$name.txt || exit 1; \
	done
	mkdir -p $(SCAN)/node && cp scan/package.json scan/package-lock.json scan/nag.mjs $(SCAN)/node/
	cd $(SCAN)/node && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

scan: $(SCAN)/.ready ## Run every template scanner (needs Node)
	$(BIN)/python scan/scan.py

audit: $(SCAN)/.ready ## Look up every locked package: at PyPI and npm, or in ADVISORIES="checkout ..." of advisory databases
	$(BIN)/python scan/audit.py $(ADVISORIES)
