"""Compares ways to compute the embedded model's layers on a CPU: torch, torchao, OpenVINO, ours.

    pip install openvino nncf torchao     # into an environment of its own, beside llmner[local]
    python benchmarks/int8_peers.py

Measured is one reading of 32 questions of 80 tokens, one token of 32 answers, one question, and one
token of one answer; without cache and output head, which are the same for all. Also the relative
error of the last hidden states against float32. Tokens are drawn at random, which is harder for
int8 than text. Everything is measured once with all instructions and once as on a processor that
has AVX2 and no more. ONNX Runtime, CTranslate2 and llama.cpp are not among them; ``decisions.md``
says why.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from _report import write
from processors import SETTINGS

SHAPES = ((32, 80), (32, 1), (1, 80), (1, 1))
WAYS = (
    "torch, float32",
    "torch, bfloat16",
    "llmner, int8",
    "torchao, int8",
    "OpenVINO, float32",
    "OpenVINO, bfloat16",
    "OpenVINO, int8 weights",
)
SLOW = {("AVX2", "torch, bfloat16"), ("AVX2", "OpenVINO, bfloat16")}
"""Not measured: minutes, or not there."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--way", choices=WAYS, help="measure one way, and print")
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(measured(arguments.way)))
        return
    results: dict[str, Any] = {}
    for setting, environment in SETTINGS.items():
        for way in WAYS:
            if (setting, way) not in SLOW:
                results.setdefault(setting, {})[way] = child(way, environment)
                print(setting, way, results[setting][way], file=sys.stderr)
    write("int8_peers", "python benchmarks/int8_peers.py", results,
          ("llmner", "torch", "transformers", "torchao", "openvino", "nncf"))  # fmt: skip


def child(way: str, environment: dict[str, str]) -> Any:
    run = subprocess.run(
        [sys.executable, __file__, "--way", way],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        # A library that cannot run with these instructions is a result too.
        return {"error": run.stderr.strip().splitlines()[-1][:200]}
    return json.loads(run.stdout.splitlines()[-1])


def measured(way: str) -> dict[str, Any]:
    """Milliseconds and relative error by shape."""
    import torch

    from llmner.engines._denormals import denormals_flushed
    from llmner.engines.transformers_engine import TransformersGenerator

    engine = TransformersGenerator(adapter="gemma-3-270m-klue-ner", dtype="float32")
    model, tokenizer = engine.load()
    torch.manual_seed(0)
    questions = {shape: torch.randint(1000, 200000, shape) for shape in SHAPES}

    class Body(torch.nn.Module):
        def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            output = model.model(input_ids=tokens, attention_mask=mask, use_cache=False)
            states: torch.Tensor = output.last_hidden_state
            return states

    body = Body()
    body.model = model.model
    figures: dict[str, Any] = {}
    with torch.inference_mode(), denormals_flushed():
        right = {
            shape: body(tokens, torch.ones_like(tokens)) for shape, tokens in questions.items()
        }
        run = prepared(way, model, tokenizer, body)
        for shape, tokens in questions.items():
            mask = torch.ones_like(tokens)
            seconds, states = timed(lambda tokens=tokens, mask=mask: run(tokens, mask))
            error = (states.float() - right[shape]).norm() / right[shape].norm()
            figures["x".join(map(str, shape))] = {
                "milliseconds": round(1000 * seconds, 1),
                "relative_error": round(float(error), 3),
            }
    return figures


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """The shortest of some runs."""
    run()
    best, states = float("inf"), None
    for _ in range(5):
        started = time.perf_counter()
        states = run()
        best = min(best, time.perf_counter() - started)
    return best, states


def prepared(way: str, model: Any, tokenizer: Any, body: Any) -> Callable[[Any, Any], Any]:
    """A function that gives the last hidden states."""
    import torch

    if way == "torch, bfloat16":
        model.bfloat16()
    elif way == "llmner, int8":
        from llmner.engines._int8 import quantise

        quantise(model, tokenizer)
    elif way == "torchao, int8":
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

        quantize_(
            model.model,
            Int8DynamicActivationInt8WeightConfig(),
            filter_fn=lambda module, name: isinstance(module, torch.nn.Linear),
        )
    elif way.startswith("OpenVINO"):
        return in_openvino(way, body)
    return body


def in_openvino(way: str, body: Any) -> Callable[[Any, Any], Any]:
    import nncf
    import openvino
    import torch

    example = torch.ones(32, 80, dtype=torch.long)
    graph = openvino.convert_model(body, example_input=(example, example))
    if "int8" in way:
        graph = nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_SYM)
    options = {"INFERENCE_NUM_THREADS": torch.get_num_threads()}
    if "float32" in way:
        options["INFERENCE_PRECISION_HINT"] = "f32"
    request = openvino.Core().compile_model(graph, "CPU", options).create_infer_request()
    return lambda tokens, mask: torch.from_numpy(
        request.infer([tokens.numpy(), mask.numpy()])[0].copy()
    )


if __name__ == "__main__":
    main()
