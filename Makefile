# Every target sets up what it needs. `make` alone says what there is.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-metrics test quick coverage soak bench components schemas pictures lint docs lock wheel-test scan
.PHONY: image-test clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## make a virtual environment in .venv with everything, pinned by hash

$(READY): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; set PYTHON=") if sys.version_info < (3, 11) else None'
	@echo "Setting up $(VENV); this takes about a minute."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

demo: setup ## run the daemon against a simulated Telegram that plays faults, until Ctrl-C (ARGS="--port 9900")
	@exec $(BIN)/telethon-sidecar demo $(ARGS)

demo-metrics: setup ## the demo with a Prometheus beside it that has the alerts, if prometheus is installed
	@exec $(BIN)/python tools/demo_metrics.py $(ARGS)

components: ## install Grafana's own components, to draw the dashboards with (npm)
	npm ci --prefix grafana/render --legacy-peer-deps --no-audit --no-fund --loglevel=error

schemas: ## install the schemas of the Prometheus operator, to check the manifests with (npm)
	npm ci --prefix tools/crds --no-audit --no-fund --loglevel=error

pictures: setup components ## draw the pictures of the dashboards anew (needs prometheus, alertmanager, chromium, npm)
	SEE_PICTURES=$(CURDIR)/docs/images $(BIN)/python -m pytest -q tests/see/test_proof.py

test: setup ## run all tests
	$(BIN)/python -m pytest

quick: setup ## run all tests but the slow ones (TESTS="tests/api" for some of them)
	$(BIN)/python -m pytest -q -m 'not slow' $(TESTS)

coverage: export COVERAGE_FILE := $(CURDIR)/build/coverage/data
coverage: setup ## run all tests but the slow ones and demand 95 % branch coverage
	rm -rf build/coverage && mkdir -p build/coverage
	$(BIN)/coverage run -m pytest -q -m 'not slow'
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

soak: setup ## thousands of faults and a month in fake time: nothing may grow (about 40 minutes)
	$(BIN)/python -m tests.soak --cycles 5000 --days 30

$(VENV)/.bench: $(READY) requirements/bench.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

# What is measured runs with what production has, and no more: libraries import others where they find them.
build/bench/run/.ready: requirements/run.txt
	$(PYTHON) -m venv build/bench/run
	build/bench/run/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

bench: $(VENV)/.bench build/bench/run/.ready ## measure beside bare Telethon (30 minutes, needs wrk; ARGS="--only cost,http")
	@BENCH_PYTHON=$(CURDIR)/build/bench/run/bin/python exec $(BIN)/python -m bench $(ARGS)

lint: setup ## check style, types and import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: setup ## write the generated parts of README.md and docs/ anew
	$(BIN)/python tools/docs.py
	$(BIN)/python tools/reliability.py
	$(BIN)/python -m grafana

lock: setup ## pin the newest allowed dependencies, with hashes, in requirements/
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --no-annotate --no-header --upgrade --extra proxy pyproject.toml \
	    -o requirements/run.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --no-annotate --no-header --upgrade --extra proxy --group dev -c requirements/run.txt \
	    pyproject.toml -o requirements/dev.txt
	for group in build scan; do \
	    $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	        --no-emit-find-links --no-annotate --no-header --upgrade --group $$group -o requirements/$$group.txt || exit 1; \
	done
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --no-annotate --no-header --upgrade --group bench -c requirements/dev.txt \
	    -o requirements/bench.txt

wheel-test: setup ## build the wheel, install it alone, and run the demo from it
	rm -rf build/wheel-test
	$(BIN)/python -m build --wheel --no-isolation --outdir build/wheel-test . > /dev/null
	$(PYTHON) -m venv build/wheel-test/venv
	build/wheel-test/venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	build/wheel-test/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps build/wheel-test/*.whl
	cd build/wheel-test && venv/bin/telethon-sidecar --version
	cd build/wheel-test && timeout --preserve-status --signal=INT 10 venv/bin/telethon-sidecar demo --port 0 --api-port 0 > demo.log
	grep -q telegram_startup_complete build/wheel-test/demo.log
	grep -q telegram_disconnected build/wheel-test/demo.log

# One folder for each thing that a user may apply.
BUILT := $(sort $(patsubst %/kustomization.yaml,%,$(shell grep -l '^kind: Kustomization' deploy/k8s/*/kustomization.yaml \
    deploy/k8s/*/*/kustomization.yaml)))

scan: setup ## look for risky settings in the manifests and the Dockerfile with checkov
	rm -rf build/manifests && mkdir -p build/manifests
	for each in $(BUILT); do kubectl kustomize $$each > build/manifests/$$(basename $$each).yaml || exit 1; done
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python build/scan
	$(BIN)/uv pip install --quiet --python build/scan/bin/python --require-hashes -r requirements/scan.txt
	build/scan/bin/checkov --config-file .checkov.yaml --directory build/manifests
	build/scan/bin/checkov --config-file .checkov.yaml --file Dockerfile

image-test: setup ## build the image without a daemon and run it as Kubernetes would (Debian, as root; about 3 minutes)
	PYTHON=$(BIN)/python tools/image-test.sh

clean: ## remove everything that the other targets made
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache \
	    grafana/render/node_modules tools/crds/node_modules
