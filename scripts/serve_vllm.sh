#!/usr/bin/env bash
# vLLM's own server for a model, with an adapter on top if one is named, ready for `llmner --engine openai`.
#
#   scripts/serve_vllm.sh MODEL [ADAPTER] [-- FURTHER ARGUMENTS OF VLLM]
#
#   scripts/serve_vllm.sh gemma-3-270m gemma-3-270m-klue-ner
#   scripts/serve_vllm.sh LGAI-EXAONE/EXAONE-4.0-1.2B build/exaone-ner -- --gpu-memory-utilization 0.85
#
# Run it in the environment that has vLLM. It waits until the server is healthy, says how to ask it, and goes on
# until it is stopped; where the server ends before, so does it, with the end of its log and exit code 1. MODEL is
# what llmner calls a model (the embedded one's name, a folder, a name on the Hub); an adapter is a folder, a
# name on the Hub or the packaged one's name.
#
#   PYTHON    the interpreter that has vLLM (python)
#   HOST      where to listen (127.0.0.1)
#   PORT      (8000)
#   CONTEXT   longest question and answer together, in tokens (4096)
#   TIMEOUT   seconds to wait for the server (900)
#   LOG       where its output goes (build/vllm.log)
set -euo pipefail

if [[ $# -lt 1 || "$1" == -h || "$1" == --help ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2
  exit 2
fi
python=${PYTHON:-python} host=${HOST:-127.0.0.1} port=${PORT:-8000} log=${LOG:-build/vllm.log}
model=$1
shift
adapter=
if [[ $# -gt 0 && "$1" != -- ]]; then
  adapter=$1
  shift
fi
if [[ $# -gt 0 && "$1" == -- ]]; then shift; fi

# Where they lie, the context, and the adapter's rank; one a line.
found=$("$python" - "$model" "$adapter" "${CONTEXT:-4096}" <<'PYTHON'
import sys

from llmner.errors import LlmnerError
from llmner.engines.vllm_engine import VllmGenerator

try:
    print(*VllmGenerator(sys.argv[1], adapter=sys.argv[2] or None, max_model_len=int(sys.argv[3])).paths(), sep="\n")
except LlmnerError as error:
    sys.exit(f"error: {error}")
PYTHON
)
{ read -r path; read -r context; read -r folder || true; read -r rank || true; } <<<"$found"
served=$(basename "$model")
# The model's own sampling settings stay out: llmner says what it wants.
arguments=(--model "$path" --generation-config vllm --served-model-name "$served" --host "$host" --port "$port" --dtype bfloat16
  --max-model-len "$context" --structured-outputs-config.backend guidance)
asked=$served
if [[ -n "${folder:-}" ]]; then
  asked=$(basename "$adapter")
  arguments+=(--enable-lora --max-lora-rank "$rank" --lora-modules "$asked=$folder")
fi

answers() {
  "$python" -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()' \
    "$host" "$port" 2>/dev/null
}
if answers; then
  echo "error: something listens on $host:$port already; name another PORT" >&2
  exit 1
fi

mkdir -p "$(dirname "$log")"
VLLM_NO_USAGE_STATS=1 "$python" -m vllm.entrypoints.openai.api_server "${arguments[@]}" "$@" >"$log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT
trap 'exit 0' INT TERM

healthy() {
  "$python" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=2)' \
    "http://$host:$port/health" 2>/dev/null
}
for ((second = 0; ; second += 2)); do
  if ! kill -0 "$server" 2>/dev/null; then
    tail -n 20 "$log" >&2
    echo "error: vLLM ended before it was ready; its output is in $log" >&2
    exit 1
  fi
  if healthy; then break; fi
  if ((second >= ${TIMEOUT:-900})); then
    tail -n 20 "$log" >&2
    echo "error: vLLM was not ready after ${TIMEOUT:-900} seconds; its output is in $log" >&2
    exit 1
  fi
  sleep 2
done
recipe=
if [[ -n "$adapter" ]]; then
  recipe=" --adapter $adapter"
elif [[ -f "$path/recipe.yaml" ]]; then
  recipe=" --recipe $path/recipe.yaml"
fi
echo "ready: llmner extract --engine openai --base-url http://$host:$port/v1 --model $asked$recipe"
wait "$server"
