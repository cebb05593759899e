# `make help` lists the targets. Every target first brings .venv up to date with pyproject.toml, constraints.txt and the C code.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PRESET ?= digits
SEEDS ?= 1
JOBS ?= 1
DEVICE ?= cpu
ARGS ?=
RESULTS ?= results
# results/ and ./results are the repository's own folder, too.
override RESULTS := $(patsubst ./%,%,$(RESULTS:/=))
SHARE ?= 1
PYTHON ?= python3
PYTHONS ?= $(PYTHON)
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install -qq --disable-pip-version-check --constraint constraints.txt
RUNS = --runs $(RESULTS)/runs
# Checkpoints and final weights of another folder of results are its own.
SCRATCH = $(if $(filter results,$(RESULTS)),.scratch,$(RESULTS)/scratch)
APPROXIMATION = --approximation $(RESULTS)/approximation.csv
MEASURED = --measured $(RESULTS)
READY := $(VENV)/.ready

# make -j would judge before it has trained, and every target takes all cores anyway: see JOBS.
.NOTPARALLEL:

$(READY): pyproject.toml constraints.txt $(wildcard src/gc2l/ops/cpu/*.[ch] src/gc2l/edge/*.c)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "gc2l needs Python >= 3.11, $(PYTHON) is $$($(PYTHON) --version 2>&1). Choose another with: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@echo "installing into $(VENV) (a few minutes the first time) ..."
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
# -qq: pip 26 warns of setuptools' experimental ext-modules, which is how the C libraries are built, on every install.
# The pip that comes with older Pythons takes twice as long to resolve; where the index has no newer one, it will do.
	@$(PIP) --upgrade pip || echo "installing with $$($(RUN) -m pip --version)"
# pip byte-compiles in one process. This takes all cores; the files that do not compile are for other Pythons.
	@$(PIP) --no-compile --editable '.[suite,dev]'
	@$(RUN) -m compileall -q -j 0 -x '/tests?/' $(VENV)/lib > /dev/null || true
	@$(RUN) -c 'from gc2l.ops.cpu import compiled; compiled.available() or print("without the compiled kernels of GC-2L: no C compiler, or no AVX-512")'
	@mkdir -p .scratch # SLURM makes no folder for its logs
	@touch $@

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: install
install: $(READY) ## Create or refresh .venv from constraints.txt

.PHONY: table1
table1: $(READY) ## Train what PRESET lacks for Table 1 (SEEDS=k: seeds 1..k, JOBS=k: k at once), then print and write the table
	@$(RUN) experiments/table1.py --preset $(PRESET) --seeds $(SEEDS) --jobs $(JOBS) $(RUNS) --execution.scratch $(SCRATCH) --output $(RESULTS)/tables $(ARGS)

.PHONY: table2
table2: $(READY) ## Table 2, channel-parallel training: measured once (about 10 minutes), then modelled
	@$(RUN) experiments/table2.py --measurements $(RESULTS)/table2 --output $(RESULTS)/tables --figures $(RESULTS)/figures $(ARGS)

.PHONY: table3
table3: $(READY) ## The same for Table 3, which adds Shuffle and FLGC
	@$(RUN) experiments/table3.py --preset $(PRESET) --seeds $(SEEDS) --jobs $(JOBS) $(RUNS) --execution.scratch $(SCRATCH) --output $(RESULTS)/tables $(ARGS)

.PHONY: table4
table4: $(READY) ## The same for Table 4, MobileNetV2
	@$(RUN) experiments/table4.py --preset $(PRESET) --seeds $(SEEDS) --jobs $(JOBS) $(RUNS) --execution.scratch $(SCRATCH) --output $(RESULTS)/tables $(ARGS)

.PHONY: beyond
beyond: $(READY) ## Compare SCC, overlapping and shuffled GC-2L at equal parameters, at PRESET: results/beyond/
	@$(RUN) experiments/beyond.py --preset $(PRESET) --seeds $(SEEDS) --jobs $(JOBS) $(RUNS) --execution.scratch $(SCRATCH) --output $(RESULTS)/beyond $(ARGS)

.PHONY: ablations
ablations: $(READY) ## Change the coarse level of GC-2L and the assignment of FLGC, as PRESET has it: results/ablations/
	@$(RUN) experiments/ablations.py --preset $(PRESET) --seeds $(SEEDS) --jobs $(JOBS) $(RUNS) --execution.scratch $(SCRATCH) --output $(RESULTS)/ablations $(ARGS)

.PHONY: conversion
conversion: $(READY) ## Convert trained networks with the nearest and with fresh weights: results/beyond/conversion.md
	@$(RUN) experiments/conversion.py $(RUNS) --scratch $(SCRATCH) --output $(RESULTS)/beyond $(ARGS)

.PHONY: coarse
coarse: $(READY) ## What the coarse level of the released networks does, on the test images: results/coarse_level.json
	@$(RUN) experiments/coarse_level.py --results $(RESULTS) $(ARGS)

.PHONY: tables
tables: $(READY) ## Write all tables again from the records, without training
	@$(RUN) experiments/tables.py $(RUNS) $(MEASURED) --output $(RESULTS)/tables --figures $(RESULTS)/figures --beyond $(RESULTS)/beyond $(ARGS)

.PHONY: params
params: $(READY) ## Compare the parameter counts of all 72 rows of Tables 1-4 with the printed ones
	@$(RUN) experiments/params.py $(ARGS)

.PHONY: approximation
approximation: $(READY) ## Approximate the trained SC layers by GC and GC-2L, for claim A6 and its figure
	@$(RUN) experiments/approximation.py $(RUNS) --weights $(SCRATCH)/weights --output $(RESULTS)/approximation.csv $(ARGS)

.PHONY: figures
figures: $(READY) ## Draw every figure from the records: results/figures/*.{svg,pdf,png}
	@$(RUN) experiments/figures.py $(RUNS) $(APPROXIMATION) --output $(RESULTS)/figures $(ARGS)

.PHONY: wire
wire: $(READY) ## Bytes sent by channel-parallel training per variant, measured and in closed form
	@$(RUN) experiments/wire.py --output $(RESULTS)/wire.json $(ARGS)

.PHONY: bench
bench: $(READY) ## Measure speed against the targets: results/bench/ (QUICK=1: under three minutes; DEVICE=cuda: a GPU)
	@$(RUN) experiments/bench$(if $(filter cuda,$(DEVICE)),_gpu).py $(if $(QUICK),--quick) --output $(RESULTS)/bench $(ARGS)

.PHONY: edge
edge: $(READY) ## Inference of one image side by side with other libraries: results/inference.json (QUICK=1: under five minutes)
	@$(RUN) experiments/edge.py $(if $(QUICK),--quick) --output $(RESULTS) $(ARGS)

.PHONY: claims
claims: $(READY) ## Judge every claim of the paper by the records: results/claims.md and .json
	@$(RUN) experiments/claims.py $(RUNS) $(APPROXIMATION) $(MEASURED) --output $(RESULTS) $(ARGS)

.PHONY: report
report: $(READY) ## The whole reproduction on one page, results/report/index.html, and the numbers in the READMEs
	@$(RUN) experiments/report.py $(RUNS) $(APPROXIMATION) $(MEASURED) --output $(RESULTS)/report/index.html $(ARGS)
	@$(if $(filter results,$(RESULTS)),$(RUN) experiments/readme.py)

# The presets that have no column for some of the tables.
TABLES_short := table1 table3
TABLES_mini-long := table4

.PHONY: reproduce
reproduce: ## Everything at PRESET with SEEDS and JOBS; RESULTS=.scratch/again trains all of it again, into that folder
	@$(MAKE) --keep-going $(or $(TABLES_$(PRESET)),table1 table3 table4) approximation figures claims report

.PHONY: verify
verify: $(READY) ## Check every committed result against the code, and test the released weights again
	@$(RUN) experiments/verify.py $(ARGS)

.PHONY: weights
weights: $(READY) ## Release the small final weights of mini, n = 16, from .scratch
	@$(RUN) experiments/release_weights.py $(ARGS)

# One process more than the two cores that CI has: some tests wait for others' processes.
.PHONY: test
test: check ## Everything CI runs: linters, types, the whole test suite
	@$(RUN) -m pytest -n 3 --dist worksteal $(ARGS)

.PHONY: test-quick
test-quick: $(READY) ## What a change of the layers, cells or records breaks first, in under a minute
	@$(RUN) -m ruff check .
	@$(RUN) -m pytest -n 2 --dist worksteal tests/nn tests/cells tests/records tests/paper tests/test_architecture.py $(ARGS)

.PHONY: torture
torture: $(READY) ## Fault injection for hours: bit flips, kills, full disks: results/faults.json (SHARE=0.1: a tenth of the trials)
	@$(RUN) -m pytest tests/faults --torture $(SHARE) --trials-record $(RESULTS)/faults.json $(ARGS)

.PHONY: audit
audit: ## Check every pinned package for known vulnerabilities (needs pypi.org)
	@$(PYTHON) -m venv .scratch/audit
	@.scratch/audit/bin/pip install --quiet --disable-pip-version-check pip-audit
	@.scratch/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

.PHONY: check
check: $(READY) ## Linters and types only
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

.PHONY: docs
docs: $(READY) ## Build the documentation site into .scratch/site; a broken link is an error
	@$(PIP) --editable '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build
	@echo "open .scratch/site/index.html"

.PHONY: package
package: ## Build sdist and wheel into dist/, test both where nothing else is (PYTHONS="python3.11 python3.12": in each)
	@.ci/package $(PYTHONS)

.PHONY: clean
clean: ## Remove .venv, caches and .scratch with its checkpoints, final weights and RESULTS below it; results/ stays
	rm -rf $(VENV) .scratch .pytest_cache .mypy_cache .ruff_cache .hypothesis build src/*.egg-info
