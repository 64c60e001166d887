# `make` alone lists the targets. The first one that needs it sets this machine up, once.

PYTHON ?=
VENV ?= .venv
T ?= tests
JOBS ?= 2
FOOTAGE ?=
FUZZ_S ?= 60
ROUNDS ?= 30
SEED ?=
VM ?= $(wildcard tests/vm/guest_*.py)

BIN := $(VENV)/bin
READY := $(VENV)/ready
READY_TEST := $(VENV)/ready-test
READY_FUZZ := $(VENV)/ready-fuzz
READY_VM := $(VENV)/ready-vm
PINS := $(wildcard requirements/py*.txt)
# Another interpreter than the environment was made with: make it anew.
ifneq ($(PYTHON),)
ifneq ($(PYTHON),$(shell cat $(VENV)/made-with 2>/dev/null))
$(READY): remake
endif
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-vm check lint types floors bench storm crash fuzz kill-matrix docs clean remake

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20
	@echo
	@echo "  T=PATH narrows test, FOOTAGE=DIR gives demo other clips, PYTHON=PATH chooses 3.11 to 3.13"

setup: $(READY) ## set this machine up (Python packages, Mosquitto); other targets do it by themselves
	@echo "ready: $(BIN)/sightline-agent"

demo: $(READY) ## broker, collector and a camera on replayed footage: watch clips arrive (FOOTAGE=DIR)
	@$(BIN)/python -m firmware_tools.demo $(if $(FOOTAGE),--footage "$(FOOTAGE)")

test: $(READY_TEST) ## run the tests, two at a time (T=tests/unit narrows, JOBS=1 one after another)
	@$(BIN)/python -m pytest $(if $(filter-out 1,$(JOBS)),-n $(JOBS) --dist loadfile) $(T)

test-vm: $(READY_VM) ## run drivers on a real kernel's GPIO and input devices, in a guest machine (VM=FILE narrows)
	@$(BIN)/python -m pytest $(VM)

check: lint types floors test ## what CI runs: lint, types, import floors, tests

lint: $(READY_TEST) ## ruff: rules and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY_TEST) ## mypy, strict
	@$(BIN)/mypy

floors: $(READY_TEST) ## import-linter: who may import whom
	@$(BIN)/lint-imports

storm: $(READY_TEST) ## two minutes of every network fault on three cameras (STORM_S=600 for longer)
	@$(BIN)/python -m pytest -s tests/scenario/net_storm.py

bench: $(READY) ## measure speed and size on this machine
	@$(BIN)/python -m tests.bench

crash: $(READY_TEST) ## cut the power at every operation on card and store, recover each disk, count losses
	@$(BIN)/python -m tests.crash

fuzz: $(READY_FUZZ) ## look for bytes that break a decoder, for FUZZ_S seconds (x86-64 only)
	@$(BIN)/python -m tests.fuzz --seconds $(FUZZ_S)

kill-matrix: $(READY_TEST) ## kill, freeze and starve each program, ROUNDS times (SEED repeats a run)
	@$(BIN)/python -m tests.kill_matrix --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED))

docs: $(READY) ## write docs/configuration.md anew from the settings
	@$(BIN)/python -m firmware_tools.config_reference

clean: ## remove caches and logs of the set-up; environment and recordings stay
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find agent collector firmware_tools models tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): $(PINS) requirements/tools.txt firmware_tools/setup.sh
	@PYTHON="$(PYTHON)" sh firmware_tools/setup.sh run "$(VENV)"
	@echo "$(PYTHON)" > $(VENV)/made-with
	@touch $@

$(READY_FUZZ): $(READY_TEST) requirements/fuzz.txt
	@sh firmware_tools/setup.sh fuzz "$(VENV)"
	@touch $@

$(READY_VM): $(READY_TEST)
	@sh firmware_tools/setup.sh vm "$(VENV)"
	@touch $@

$(READY_TEST): $(READY) requirements/dev.txt
	@sh firmware_tools/setup.sh test "$(VENV)"
	@touch $@
