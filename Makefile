# `make run` and `make test` do all the set-up they need; `make help` lists everything.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

export TRAINCHART_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/trainchart
export PATH := $(TRAINCHART_CACHE)/bin:$(PATH)
# Images for building set it; the tests start hundreds of programs, which would all be compiled again.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
PYTHON := $(VENV)/bin/python

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Python >= 3.10 with the pinned packages; made again when the pins change.
$(VENV)/ready: requirements.txt pyproject.toml
	@echo "venv: installing the pinned packages into $(VENV)"
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: tools
tools: $(VENV)/ready
	@python3 -m e2e.cluster tools helm helm3 git-lfs lfstest-gitserver

.PHONY: setup
setup: $(VENV)/ready ## Install what is missing: Python packages, tools, Docker, and the test cluster
	python3 -m e2e.cluster up

.PHONY: run
run: setup ## Train YOLOv5 in a local cluster, and print the result
	$(PYTHON) -m e2e.run

# Some tests wait for other processes; every worker collects all tests, which takes five seconds.
WORKERS ?= $(shell echo $$(( $$(nproc) * 2 )))

.PHONY: test
test: tools ## Fast tests: no cluster, no network
	$(PYTHON) -m pytest -n $(WORKERS) --dist worksteal --durations=5

.PHONY: lab
lab: tools ## Exhaustive tests against misbehaving servers, hostile repositories and kills at any moment: no cluster, no network
	@python3 -m e2e.cluster sshd
	@python3 -m e2e.cluster gpg
	@python3 -m e2e.cluster kubeflow
	$(PYTHON) -m pytest -m lab -n 2 --durations=5
	$(TRAINCHART_CACHE)/kubeflow/bin/python -m pytest -m 'kubeflow or not lab' tests/kubeflow tests/cluster

.PHONY: differential
differential: $(VENV)/ready ## Compare the checks of data with the trainers' own readers, in the images of the end-to-end tests that Docker has
	$(PYTHON) -m pytest -m differential tests/differential -rs --durations=3

.PHONY: browser
browser: $(VENV)/ready ## Test the HTML pages in a real browser; installs Chromium if it is missing
	python3 -m e2e.cluster browser
	$(PYTHON) -m pytest -m browser -v --durations=3

.PHONY: e2e
e2e: setup ## End-to-end tests, the quick set: a real cluster, a real git server, real training
	$(PYTHON) -m pytest e2e -v --durations=15 --basetemp=$(TRAINCHART_CACHE)/e2e

.PHONY: e2e-all
e2e-all: setup ## End-to-end tests of every family, to its published result; FAMILY=name: of one family
	python3 -m e2e.cluster images $$($(PYTHON) -m e2e.cases $(FAMILY))
	$(if $(filter-out servers bucket,$(FAMILY)),,python3 -m e2e.cluster servers)
	$(if $(filter-out notebook,$(FAMILY)),,python3 -m e2e.cluster notebook-image)
	$(if $(filter-out oci,$(FAMILY)),,python3 -m e2e.cluster registry)
	$(if $(filter-out kubeflow,$(FAMILY)),,python3 -m e2e.cluster tools-image && python3 -m e2e.cluster kubeflow)
	$(if $(filter-out tekton argo,$(FAMILY)),,python3 -m e2e.cluster engines $(FAMILY))
	$(PYTHON) -m pytest e2e -v --durations=15 --basetemp=$(TRAINCHART_CACHE)/e2e $(or $(FAMILY:%=--family=%),--all)

.PHONY: kills
kills: setup ## Kill 70 runs in the cluster at random moments of all stages; SEED=n: another sequence
	python3 -m e2e.cluster images custom-minimal
	$(PYTHON) -m e2e.kills --seed $(or $(SEED),1)

.PHONY: fuzz
fuzz: tools ## Compare the validator with both Helm programs on made-up values; FUZZ_CASES=n: how many (10,000)
	FUZZ_CASES=$(or $(FUZZ_CASES),10000) $(PYTHON) -m pytest -m fuzz -n 2 --durations=3

.PHONY: bench
bench: tools ## Measure the validator against helm, and the commands' own time
	$(PYTHON) -m bench.render
	$(PYTHON) -m bench.cli
	$(PYTHON) -m bench.newcomer
	@$(PYTHON) -m pytest -q -s -m '' tests/runner/test_economy.py | grep -E 'bytes [0-9f]|passed|failed'

.PHONY: lint
lint: $(VENV)/ready ## Style, types and words
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(PYTHON) -m hack.check_family_types
	$(PYTHON) -m hack.words

.PHONY: generate
generate: $(VENV)/ready ## Write the files that are made from the typed values
	$(PYTHON) -m hack.generate

.PHONY: package
package: tools ## Pack the charts, the wheel and the sdist into dist/; SIGN_KEY=fingerprint: sign the charts with that key of gpg
	helm lint --strict --quiet charts/train --values values/yolov5.yaml
	helm lint --strict --quiet charts/platform
	$(PYTHON) -m hack.package

.PHONY: release
release: tools ## Set VERSION=x.y.z, close the changelog's section, commit, tag and pack; SIGN_KEY as above
	$(PYTHON) -m hack.release "$(VERSION)"
	$(MAKE) package

.PHONY: pins
pins: $(VENV)/ready ## Renew requirements.txt from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --extra engine --group dev --group e2e --universal --python-version 3.10 --upgrade --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet --output-file requirements.txt
	sed -i '1i # Everything the tools, tests and end-to-end run use, pinned. Made from pyproject.toml by: make pins' requirements.txt
	uv pip compile pyproject.toml --extra kfp e2e/kubeflow/requirements.in --universal --python-version 3.10 --upgrade --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet --output-file e2e/kubeflow/requirements.txt
	sed -i '1i # What the tests of trainchart.kfp use, pinned. Made from pyproject.toml and requirements.in by: make pins' e2e/kubeflow/requirements.txt

.PHONY: image-pins
image-pins: ## Renew the requirements.txt of the image recipes (needs uv)
	python3 hack/pin_images.py

.PHONY: clean
clean: ## Remove the cluster, its images, the cache and the virtual environment
	python3 -m e2e.cluster clean
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
