#!/usr/bin/env bash
# Installs the server from this checkout into a Python environment; the Dockerfile does nothing else.
#
#   scripts/install_server.sh
#
#   PYTHON       the environment's interpreter (python3)
#   EXTRAS       what it can do (serve,openai,local): serve for HTTP, openai for models behind an endpoint,
#                local for the embedded model and transformers
#   TORCH_INDEX  a package index that has the wanted build of torch, for instance one without CUDA
set -euo pipefail
python=${PYTHON:-python3}
# A relative path is one from where the caller is.
[[ "$python" == */* ]] && python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python")
cd "$(dirname "$0")/.."
extras=${EXTRAS:-serve,openai,local}

if [[ ! ",$extras," == *,serve,* ]]; then
  echo "error: EXTRAS=$extras has no serve; the server is part of it" >&2
  exit 2
fi
# Pinned is what is installed, and what that is built with: pip up to 25.2 reads the first for both, newer ones
# read the second for builds.
# An address, as some builds run in a folder of their own, and pip parts paths at spaces.
constraints=$("$python" -c 'import pathlib; print(pathlib.Path("constraints.txt").resolve().as_uri())')
export PIP_CONSTRAINT=$constraints PIP_BUILD_CONSTRAINT=$constraints
install=("$python" -m pip install --no-cache-dir --disable-pip-version-check)
if [[ -n "${TORCH_INDEX:-}" && ",$extras," == *,local,* ]]; then
  # torch alone: such an index need not have the pinned versions of what torch needs.
  "${install[@]}" --index-url "$TORCH_INDEX" --no-deps torch
fi
"${install[@]}" ".[$extras]"
# What does not fit together should end a build, not the first request.
"$python" -m pip check
cd /
"$python" -m llmner serve --help >/dev/null
