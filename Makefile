# The front doors; nox and kit do the work. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help setup reproduce plan verify images doctor test lint lock clean
MAKEFLAGS += --no-print-directory

# TABLE=2 "2 5" all · FIGURE=1 "4 5": the tables and figures that a target is about; Table 2 where neither is named
# SCALE=smoke|mini|one-gpu|one-80gb|paper: how big; without it, the largest that this machine holds
# RUNTIME=local|docker|podman|apptainer: where jobs run; all but local want `make images` (IMAGES="cpu grade cuda")
# MIRROR=DIR: copies of the pinned data files · STORE=DIR: the artifacts' folder · YES=1: don't ask before GPU-hours
# KEEP=results|weights|all: models that stay on the disk once no job to come needs them; all by default
SETUP := @sh requirements/setup.sh
# Jobs that run in images need nothing of theirs here: the smallest environment plans them.
host := $(if $(filter-out local,$(RUNTIME)),smoke,$(SCALE))
KIT = @"$$(sh requirements/setup.sh --where '$(host)')/bin/kit"
NOX := @.venv/bin/python -m nox
scale := $(if $(SCALE),--scale '$(SCALE)')
store := $(if $(STORE),--store '$(STORE)')
mirror := $(if $(MIRROR),--mirror '$(MIRROR)')
runtime := $(if $(RUNTIME),--runtime '$(RUNTIME)')
what := $(or $(strip $(TABLE) $(addprefix figure-,$(FIGURE))),2)
keep := $(if $(KEEP),--keep '$(KEEP)')
yes := $(if $(filter-out 0 no,$(YES)),--yes)

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: ## make .venv: Python 3.11, every package by its hash, nothing outside this folder
	$(SETUP) '$(host)'

reproduce: setup ## TABLE=2 FIGURE=1: compute them at the scale this machine holds, print them beside the paper's (SCALE= MIRROR= STORE= RUNTIME= KEEP= YES=1)
	$(KIT) reproduce $(what) $(scale) $(mirror) $(store) $(runtime) $(keep) $(yes)

plan: setup ## TABLE=2 SCALE=paper: list its jobs, with GPU-hours, disk and what is cached
	$(KIT) plan $(what) $(scale) $(store) $(keep)

verify: setup ## TABLE=2: check what was computed: artifacts unharmed, a verdict for each number
	$(KIT) verify $(what) $(scale) $(store)

images: ## build the container images cpu and grade (IMAGES=cuda: that one; BUILDER=docker|podman|buildah)
	$(SETUP) smoke
	@.venv/bin/python -m kit.images $(or $(IMAGES),cpu grade) $(if $(BUILDER),--builder '$(BUILDER)')

doctor: setup ## what this machine can run, and what is missing with the command that installs it
	$(KIT) doctor

test: ## set up what tests need and run them (nox -s tests)
	$(SETUP) --dev
	$(NOX) -s tests

lint: ## ruff, layers, shell scripts and strict types (nox -s lint types)
	$(SETUP) --dev
	$(NOX) -s lint types

lock: ## resolve pyproject.toml into requirements/*.txt again; needs uv
	@python3 requirements/lock.py

clean: ## remove the environments and caches; the store of results stays
	@rm -rf .venv .venv-* .cache .nox .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis ./*.egg-info
