# make run     the whole lifecycle of every project, from nothing
# make test    the tests, from nothing
# make check   linting and types
# make ui      MLflow's pages on what ran
# make serve   the champion on 127.0.0.1:3000     (PROJECT=digits)
# make clean   removes what the stages left; keeps downloads, inboxes, experiments and the registry

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PROJECT ?= digits
BIN := .venv/bin
INSTALLED := .venv/installed
# The commands in .venv name the folder that they were installed in: once it was moved or copied, they are made anew.
MOVED := $(shell test ! -e $(BIN)/activate -o -L .venv || grep -qF '$(CURDIR)/.venv' $(BIN)/activate || echo moved)
export PATH := $(CURDIR)/$(BIN):$(PATH)
# No component phones home: neither from here, nor from a shell that activates .venv.
QUIET := DO_NOT_TRACK DVC_NO_ANALYTICS MLFLOW_DISABLE_TELEMETRY BENTOML_DO_NOT_TRACK GX_ANALYTICS_ENABLED \
         ORT_DISABLE_TELEMETRY
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := true
export MLFLOW_DISABLE_TELEMETRY := true
export BENTOML_DO_NOT_TRACK := True
export GX_ANALYTICS_ENABLED := false
export ORT_DISABLE_TELEMETRY := 1

.PHONY: run test check ui serve clean moved
.DEFAULT_GOAL := run

run: $(INSTALLED)
	@dvc repro || { fullcycle verdict --all; exit 1; }
	@fullcycle verdict --all

test: $(INSTALLED)
	@pytest --numprocesses auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder

check: $(INSTALLED)
	@ruff check .
	@ruff format --check .
	@mypy pipeline serving benchmarks tests

ui: $(INSTALLED)
	@mlflow ui --host 127.0.0.1 --port 5000

serve: $(INSTALLED)
	@fullcycle serve $(PROJECT)

clean:
	rm -rf $(foreach stage,collected labelled prepared,data/*/$(stage)) models/*/ reports/*/

$(INSTALLED): pyproject.toml constraints.txt $(MOVED)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Python 3.11 is needed; $(PYTHON) is another. Say which: make PYTHON=/path/to/python3.11"; exit 2; }
	@test -z '$(MOVED)' || { echo "This folder was moved or copied: .venv is made anew."; rm -rf .venv; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@grep -q DO_NOT_TRACK $(BIN)/activate || \
	  printf '%s\n' $(foreach name,$(QUIET),'export $(name)=$($(name))') >> $(BIN)/activate
	@echo "Installing the pinned packages into .venv (a few minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@
