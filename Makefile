# `make` alone lists the targets. The first one that needs it sets this machine up, once.

PYTHON ?=
VENV ?= .venv
TRAIN_VENV ?= .venv-train
EXPORT_VENV ?= .venv-export
SETS_DIR ?= run/model-sets$(if $(QUICK),-quick)
MODEL_DIR ?= run/model$(if $(QUICK),-quick)
QUICK ?=
DEVICE ?= cpu
T ?= tests
JOBS ?= 2
FOOTAGE ?=
BUNDLE ?=
DEGRADE ?=
FUZZ_S ?= 60
ROUNDS ?= 30
SEED ?=
VM ?= $(wildcard tests/vm/guest_*.py)

BIN := $(VENV)/bin
READY := $(VENV)/ready
READY_TEST := $(VENV)/ready-test
READY_FUZZ := $(VENV)/ready-fuzz
READY_REPORT := $(VENV)/ready-report
READY_TRAIN := $(TRAIN_VENV)/ready-train
READY_EXPORT := $(EXPORT_VENV)/ready-export
TRAIN := $(TRAIN_VENV)/bin/python -m models.reference
HELD_OUT := held_seeds held_maps unseen_layouts unseen_textures unseen_weapon
MODEL_FOLDERS = --sets "$(SETS_DIR)" --work "$(MODEL_DIR)"
READY_VM := $(VENV)/ready-vm
PINS := $(wildcard requirements/py*.txt)
# Another interpreter than the environment was made with: make it anew.
ifneq ($(PYTHON),)
ifneq ($(PYTHON),$(shell cat $(VENV)/made-with 2>/dev/null))
$(READY): remake
endif
endif

.DEFAULT_GOAL := help
# Every target with a line of help is a name, not a file.
.PHONY: remake $(shell sed -n 's/^\([a-z-]*\):.*## .*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26
	@echo
	@echo "  T=PATH narrows test, FOOTAGE=DIR gives demo other clips, PYTHON=PATH chooses 3.11 to 3.13"

setup: $(READY) ## set this machine up (Python packages, Mosquitto); other targets do it by themselves
	@echo "ready: $(BIN)/sightline-agent"

gstreamer: $(READY) ## what a camera over GStreamer needs: a Jetson's, or a pipeline of yours
	@sh firmware_tools/setup.sh gstreamer "$(VENV)"

pi-camera: $(READY) ## what a Raspberry Pi's camera needs
	@sh firmware_tools/setup.sh picamera2 "$(VENV)"

demo: $(READY) ## broker, collector and a camera on replayed footage: watch clips arrive (FOOTAGE=DIR)
	@$(BIN)/python -m firmware_tools.demo $(if $(FOOTAGE),--footage "$(FOOTAGE)")

test: $(READY_TEST) ## run the tests, two at a time (T=tests/unit narrows, JOBS=1 one after another)
	@$(BIN)/python -m pytest $(if $(filter-out 1,$(JOBS)),-n $(JOBS) --dist loadfile) $(T)

test-camera-root: ## run the picamera2 camera on real libcamera, in a root made once (minutes, root rights)
	@tests/camera_root/run.sh build/camera-root tests/contract/test_camera.py \
		tests/unit/drivers/test_camera_picamera2.py -k picamera2

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

model: $(READY_TRAIN) $(READY_EXPORT) model-footage ## train, quantise and measure a model (QUICK=1: worse, in minutes; DEVICE=cuda)
	@mkdir -p "$(MODEL_DIR)/evaluation"
	@$(TRAIN).train $(MODEL_FOLDERS) --no-split --device "$(DEVICE)" --resume $(if $(QUICK),--quick)
	@$(if $(QUICK),,$(TRAIN).train $(MODEL_FOLDERS) --no-split --device "$(DEVICE)" --resume --baseline)
	@$(TRAIN).bundle $(MODEL_FOLDERS) --export-python "$(EXPORT_VENV)/bin/python"
	@$(TRAIN).compare $(MODEL_FOLDERS) $(if $(QUICK),--frames 60)
	@for set in $(HELD_OUT); do echo $$set; done | xargs -P $(JOBS) -I{} $(TRAIN).evaluate "$(SETS_DIR)/{}" \
		--bundle "$(MODEL_DIR)/bundle" --json "$(MODEL_DIR)/evaluation/{}.json" \
		$(if $(DEGRADE),--degrade "$(DEGRADE)")
	@$(TRAIN).card --bundle "$(MODEL_DIR)/bundle" --work "$(MODEL_DIR)"
	@echo "the bundle with its card and figures: $(MODEL_DIR)/bundle"

model-report: $(READY_REPORT) ## measure the newest model on FOOTAGE=DIR and draw it (BUNDLE, DEGRADE=all)
	@mkdir -p run
	@$(BIN)/python -m models.reference.evaluate "$(or $(FOOTAGE),tests/footage)" \
		$(if $(BUNDLE),--bundle "$(BUNDLE)") $(if $(DEGRADE),--degrade "$(DEGRADE)") \
		--json run/model-report.json --png run/model-report.png
	@echo "written: run/model-report.png, run/model-report.json"

train-env: $(READY_TRAIN) $(READY_EXPORT) ## environments of their own for training and export (Python 3.11)
	@echo "ready: $(TRAIN_VENV)"

model-footage: $(READY_TRAIN) ## render the scenes the reference model learns from (QUICK=1 for a few; SETS_DIR=DIR)
	@$(TRAIN_VENV)/bin/python -m models.reference.footage --out "$(SETS_DIR)" --jobs $(JOBS) \
		$(if $(QUICK),--quick)

docs: $(READY) ## write docs/configuration.md anew from the settings
	@$(BIN)/python -m firmware_tools.config_reference

clean: ## remove caches and logs of the set-up; environment and recordings stay
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find agent collector firmware_tools models tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): $(PINS) requirements/tools.txt firmware_tools/setup.sh
	@PYTHON="$(PYTHON)" sh firmware_tools/setup.sh run "$(VENV)"
	@echo "$(PYTHON)" > $(VENV)/made-with
	@touch $@

$(READY_REPORT): $(READY) requirements/report.txt
	@sh firmware_tools/setup.sh report "$(VENV)"
	@touch $@

$(READY_FUZZ): $(READY_TEST) requirements/fuzz.txt
	@sh firmware_tools/setup.sh fuzz "$(VENV)"
	@touch $@

$(READY_TRAIN): requirements/py311.txt requirements/dev.txt requirements/train.txt firmware_tools/setup.sh
	@sh firmware_tools/setup.sh train "$(TRAIN_VENV)"
	@touch $@

$(READY_EXPORT): requirements/export.txt firmware_tools/setup.sh
	@sh firmware_tools/setup.sh export "$(EXPORT_VENV)"
	@touch $@

$(READY_VM): $(READY_TEST)
	@sh firmware_tools/setup.sh vm "$(VENV)"
	@touch $@

$(READY_TEST): $(READY) requirements/dev.txt requirements/report.txt
	@sh firmware_tools/setup.sh test "$(VENV)"
	@touch $@
