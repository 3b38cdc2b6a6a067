# Everything runs from .venv; nothing outside this folder is touched, but for `browser`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The SAM command line needs other versions of what .venv has.
TOOLS := .venv-infra
# So does the authors' own package of Qwen3-ASR; a Python that finds this folder first takes these.
OFFICIAL := .qwen-asr
# And that of Qwen3-TTS: an environment for a process of its own, which finds in .venv what it lacks, PyTorch above all.
SPEAKER := .qwen-tts
SITE := import sysconfig; print(sysconfig.get_path('purelib'))
# The console's tests drive this one.
CHROMIUM := /usr/bin/chromium
PORT ?= 8000
# Two files at a time: much of the suite waits for clocks and processes. One file stays together, for its fixtures.
PYTEST_OPTIONS := --numprocesses 2 --dist loadfile
# How much the long forms do.
FUZZ_FILES ?= 200000
SCHEMATHESIS_CASES ?= 20000

.PHONY: install install-dev tools browser demo up test docs-test check infra-check audit sbom lock fuzz schemathesis faults bench bench-gpu clean

# What the system needs on this machine, and nothing of PyTorch.
install: $(VENV)/.installed

# What its tests and benchmarks need as well.
install-dev: $(VENV)/.installed-dev

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[local]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

$(TOOLS)/.installed: infra/requirements.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check -r infra/requirements.txt
	touch $@

# The command lines of SAM and AWS, for docs/deploy.md.
tools: $(TOOLS)/.installed

$(OFFICIAL)/.installed: benchmarks/qwen3/official-requirements.txt $(VENV)/.installed-dev
	rm -rf $(OFFICIAL)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(OFFICIAL) -r benchmarks/qwen3/official-requirements.txt
	touch $@

$(SPEAKER)/.installed: infra/qwen-tts-requirements.txt $(VENV)/.installed-dev
	rm -rf $(SPEAKER)
	$(BIN)/python -m venv --without-pip $(SPEAKER)
	$(BIN)/python -m pip --python $(SPEAKER)/bin/python install --quiet --disable-pip-version-check --no-deps -r infra/qwen-tts-requirements.txt
	$(BIN)/python -c "$(SITE)" > "$$($(SPEAKER)/bin/python -c "$(SITE)")/worker.pth"
	touch $@

browser: $(CHROMIUM)

# Root gets it from the distribution; anybody else is told. Without it those tests skip at home, and fail in CI.
$(CHROMIUM):
	@if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core; \
	fi || true
	@[ -x $@ ] || echo "There is no $@, which the tests of the console need; on Debian: apt-get install chromium"

# Real recordings through upload, submit, poll and fetch on a private stack; leaves nothing running.
demo: install
	$(BIN)/python examples/demo.py

up: install
	$(BIN)/asr-queue up --port $(PORT)

test: install-dev browser $(TOOLS)/.installed $(OFFICIAL)/.installed $(SPEAKER)/.installed
	$(BIN)/python -m pytest $(PYTEST_OPTIONS)

# Every command and snippet of README.md and docs/, typed from top to bottom. A part of `make test`.
docs-test: install-dev $(TOOLS)/.installed
	$(BIN)/python -m pytest tests/docs --numprocesses 2 --dist worksteal

check: install-dev browser infra-check audit $(OFFICIAL)/.installed $(SPEAKER)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest $(PYTEST_OPTIONS)

# What can be said of the templates without an account; the tests build them as well (tests/template).
infra-check: export AWS_DEFAULT_REGION ?= us-east-1
infra-check: export SAM_CLI_TELEMETRY = 0
infra-check: $(TOOLS)/.installed
	$(TOOLS)/bin/sam validate --lint
	$(TOOLS)/bin/cfn-lint template.yaml infra/worker.yaml infra/observability.yaml
	$(TOOLS)/bin/hadolint infra/Dockerfile

# The real processes, killed, stopped and lied to, by seeds: `make faults RUNS=1000`, or `make faults SEED=17` to see one
# again (docs/faults.md).
faults: install-dev
	$(BIN)/python -m tests.faults $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS)) \
	    $(if $(ENGINE),--engine $(ENGINE)) --failures build/faults $(if $(REPORT),--report $(REPORT))

# The locked packages of what is deployed, among the known vulnerabilities; says so where their databases cannot be reached.
audit: $(TOOLS)/.installed
	$(TOOLS)/bin/python infra/audit.py

# What is deployed, package by package and file by file, in CycloneDX's form.
sbom: $(TOOLS)/.installed
	mkdir -p dist
	for lock in infra/locks/*.txt; do \
		$(TOOLS)/bin/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml --output-reproducible \
			--spec-version 1.6 --output-format JSON --output-file dist/sbom-$$(basename $$lock .txt).json $$lock || exit 1; \
	done

# After a change of pyproject.toml or constraints.txt.
lock: $(TOOLS)/.installed
	$(TOOLS)/bin/python infra/lock.py

# Damaged files through the worker's decoder; a part of it runs with the tests.
fuzz: install-dev
	$(BIN)/python -m tests.fuzz $(FUZZ_FILES)

# The API against its own description, on a whole system; a part of it runs with the tests.
schemathesis: install-dev
	$(BIN)/python -m tests.security.conformance $(SCHEMATHESIS_CASES)

# Ratios measured on this machine; results that matter are kept under benchmarks/results/.
bench: install-dev
	$(BIN)/python benchmarks/cpu_engine.py
	$(BIN)/python benchmarks/queue_overhead.py
	$(BIN)/python -m benchmarks.autoscaling
	$(BIN)/python -m benchmarks.model_swaps
	$(BIN)/python -m benchmarks.model_swaps --real
	$(BIN)/python benchmarks/cold_start.py

# On a GPU: its engine against the rivals, part by part if need be (see the program's --help), in the worker's pipe, and
# two models that take turns.
bench-gpu: install-dev $(OFFICIAL)/.installed
	$(BIN)/python -m benchmarks.qwen3_asr
	$(BIN)/python -m benchmarks.pipe_utilisation
	$(BIN)/python -m benchmarks.swap

clean:
	rm -rf $(VENV) $(TOOLS) $(OFFICIAL) $(SPEAKER) .aws-sam .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
