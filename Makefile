# `make help` lists the targets. Every one of them works on a fresh clone: they make the environment first.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
EXTRAS ?= dev
VENV ?= .venv
WORKERS ?= 2
BENCH ?=
FUZZ ?= 60
DATA ?=
WORK ?= experiments/work
SETTING ?= small
REPRODUCE ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
STAMP := $(VENV)/.made-with-$(EXTRAS)
BENCHED := $(VENV)/.made-with-bench-too
PEERS := $(VENV)/.made-with-peers
SITE := $(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going --nitpicky -c docs -d build/pages .
ONE_THREAD := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

PAPER := table1 table2 table3 table4 table5 table6 table7 table8 table9 table10 table11 table12 figure2 figure3 figure4 figure5

.PHONY: help venv check format test fuzz test-gpu test-browser demo bench sample-data docs docs-links clean
.PHONY: paper asked-with-data quality $(PAPER)

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

venv: $(STAMP)  ## the environment in .venv, from constraints.txt

$(STAMP): pyproject.toml constraints.txt $(wildcard speu_cli/*/kernels/*.c)
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "speu needs Python 3.11 or newer, found " + sys.version.split()[0] + "; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@

check: venv  ## lint, format, types, generated docs up to date, no broken link in them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/python docs/generate_cli.py --check
	$(BIN)/python docs/generate_python.py --check
	$(BIN)/python docs/generate_metrics.py --check
	$(SITE) site

format: venv  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: venv  ## the pages made of commands, docstrings and definitions, and all pages as a site in site/
	$(BIN)/python docs/generate_cli.py
	$(BIN)/python docs/generate_python.py
	$(BIN)/python docs/generate_metrics.py
	$(SITE) site

docs-links: venv  ## whether what the pages link to on other hosts is there; needs the network
	$(SITE) -b linkcheck build/links

test: venv  ## the tests
	$(ONE_THREAD) $(BIN)/pytest -n $(WORKERS)

fuzz: venv  ## damaged files, guided by what they reach; FUZZ=SECONDS for each reader
	$(PIP) install --quiet -c constraints.txt -e '.[fuzz]'
	cd tests && PYTHONPATH=. ../$(BIN)/python fuzz/look_further.py $(FUZZ)

test-gpu: venv  ## the tests that need a CUDA device
	$(BIN)/pytest -m gpu

test-browser: venv  ## the tests of the report in a Chromium that is installed
	$(BIN)/pytest -m browser

demo: venv  ## fisher, mask, unlearn, eval on the sample data, ending in a table
	PATH="$$PWD/$(BIN):$$PATH" sample_data/demo.sh

bench: $(PEERS)  ## the statistics pass against its peers; BENCH="MODEL DATA" with your own
	$(BIN)/python benchmarks/statistics_pass.py $(BENCH)

# kronfluence asks for torchvision, which it does not import; one built for another PyTorch breaks transformers.
$(PEERS): $(BENCHED)
	$(PIP) install --quiet -c constraints.txt --no-deps 'kronfluence>=1,<2'
	touch $@

$(BENCHED): $(STAMP)
	$(PIP) install --quiet -c constraints.txt -e '.[bench]'
	touch $@

paper: $(PAPER)  ## the paper's tables and figures, or one, as table5; DATA=FOLDER, see experiments/README.md

quality: SETTING = quality
quality: ## how near each recipe comes to retraining, on five data sets; DATA=FOLDER

$(PAPER) quality: asked-with-data $(BENCHED)
	$(BIN)/python experiments/reproduce.py $@ --setting $(SETTING) $(if $(DATA),--data '$(DATA)') --work '$(WORK)' $(REPRODUCE)

asked-with-data:
	@[ -n '$(DATA)' ] || [ '$(SETTING)' = paper ] || { echo 'DATA is not given: make table5 DATA=FOLDER, which holds a folder a data set; see experiments/README.md' >&2; exit 2; }

sample-data: venv  ## make the sample tickets and their two models again
	$(BIN)/python sample_data/make_tickets.py
	$(BIN)/python sample_data/make_model.py

clean:  ## remove what was made, but not the environment
	rm -rf build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis sample_data/out
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
