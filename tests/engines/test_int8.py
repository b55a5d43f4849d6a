"""Layers in int8: near the layers that they stand for, and the same in any batch."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from llmner.engines import transformers_engine
from llmner.engines.transformers_engine import TransformersGenerator
from llmner.errors import GenerationError
from llmner.recipes.chat import Prompt
from tests.tiny import tiny_model

torch = pytest.importorskip("torch", reason='needs pip install "llmner[local]"')
transformers = pytest.importorskip("transformers", reason='needs pip install "llmner[local]"')

from llmner.engines._int8 import Int8Linear, linear_layers, quantise  # noqa: E402

QUESTION = Prompt(({"role": "user", "content": "손흥민은"},), "손흥민은", "\n\n", "손흥민은")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base"))


def relative_error(found: torch.Tensor, right: torch.Tensor) -> float:
    return float((found - right).norm() / right.norm())


def uneven(rows: int, width: int, seed: int = 0) -> torch.Tensor:
    """Inputs of which a few are a hundred times as large as the rest, as language models have."""
    inputs = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    inputs[:, :: width // 4] *= 100
    return inputs


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("width", [3, 64, 1021, 1300, 2048])
@pytest.mark.parametrize("shape", [(7,), (1, 1), (2, 5), (3, 400)])
def test_a_layer_is_near_the_one_it_stands_for(
    bias: bool, width: int, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(width, 48, bias=bias)
    inputs = torch.randn(*shape, width)
    with torch.inference_mode():
        right, found = linear(inputs), Int8Linear(linear)(inputs)
    assert found.shape == right.shape
    assert relative_error(found, right) < 0.02


def test_a_large_input_spoils_only_its_group() -> None:
    torch.manual_seed(0)
    linear, inputs = torch.nn.Linear(2048, 48, bias=False), torch.randn(50, 2048)
    inputs[:, 0] = 1000
    linear.weight.detach()[:, 0] = 0
    narrow = torch.nn.Linear(512, 48, bias=False)
    narrow.weight.data = linear.weight.detach()[:, :512]
    with torch.inference_mode():
        error = (Int8Linear(linear)(inputs) - linear(inputs)).norm()
        theirs = (Int8Linear(narrow)(inputs[:, :512]) - narrow(inputs[:, :512])).norm()
    assert torch.isclose(error, theirs, rtol=0.05)


def test_known_sizes_of_inputs_make_it_nearer() -> None:
    torch.manual_seed(0)
    linear, inputs = torch.nn.Linear(64, 48, bias=False), uneven(50, 64)
    sizes = uneven(50, 64, seed=1).abs().amax(0)
    with torch.inference_mode():
        right = linear(inputs)
        # What large inputs contribute is all that can be seen otherwise.
        right_of_small = linear(inputs * (sizes < 50))
        plain, smooth = Int8Linear(linear)(inputs), Int8Linear(linear, sizes)(inputs)
    assert right_of_small.abs().mean() < right.abs().mean() / 10
    assert relative_error(smooth, right) < relative_error(plain, right)
    assert relative_error(smooth, right) < 0.02


@pytest.mark.parametrize("sizes", [None, torch.zeros(8), torch.tensor([0.0] * 7 + [1e6])])
def test_zeros_stay_zeros(sizes: torch.Tensor | None) -> None:
    linear = torch.nn.Linear(8, 4, bias=False)
    with torch.inference_mode():
        assert not Int8Linear(linear, sizes)(torch.zeros(3, 8)).any()
        linear.weight.zero_()
        assert not Int8Linear(linear, sizes)(torch.randn(3, 8)).any()


def test_a_row_is_the_same_alone_and_among_others() -> None:
    torch.manual_seed(0)
    layer = Int8Linear(torch.nn.Linear(96, 32), torch.rand(96))
    inputs = torch.randn(1100, 96)
    with torch.inference_mode():
        together = layer(inputs)
        alone = torch.cat([layer(row) for row in inputs.split(1)])
    assert torch.allclose(together, alone, rtol=1e-5, atol=1e-6)


SATURATED = """
import torch
from llmner.engines._int8 import Int8Linear
torch.manual_seed(0)
linear = torch.nn.Linear(640, 640, bias=False)
inputs = torch.randn(400, 640)
with torch.inference_mode():
    right = linear(inputs)
    print(float((Int8Linear(linear)(inputs) - right).norm() / right.norm()))
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="needs an x86 processor")
def test_sums_fit_where_a_processor_adds_two_in_16_bits() -> None:
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    printed = subprocess.run(
        [sys.executable, "-c", SATURATED],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(printed.stdout) < 0.02


def test_a_model_says_nearly_the_same_in_int8(base: Path) -> None:
    model, tokenizer = transformers_engine.load_model(str(base), dtype="float32")
    tokens = torch.tensor([tokenizer("손흥민은 춘천에서 태어났다.")["input_ids"]])
    with torch.inference_mode():
        right = model(tokens).logits
        layers = len(list(linear_layers(model)))
        quantise(model, tokenizer)
        found = model(tokens).logits
    assert layers > 5
    assert sum(isinstance(part, Int8Linear) for part in model.modules()) == layers
    assert not list(linear_layers(model))
    assert 0 < relative_error(found, right) < 0.05
    # Its head is what it was: rows of it are read one by one.
    assert type(model.get_output_embeddings()) is torch.nn.Linear


def test_int8_can_be_asked_for(base: Path) -> None:
    engine = TransformersGenerator(str(base), device="cpu", dtype="int8", max_new_tokens=4)
    (reply,) = engine.generate([QUESTION])
    assert reply.error is None
    assert engine.describe()["dtype"] == "int8"
    model, _ = engine.load()
    assert {str(weight.dtype) for weight in model.parameters()} == {"torch.int8", "torch.float32"}
    # Weights count as they did, and take less.
    whole = TransformersGenerator(str(base), device="cpu", dtype="float32")
    assert engine.model_size()["parameters"] == whole.model_size()["parameters"]
    assert engine.model_size()["bytes"] < whole.model_size()["bytes"]


def test_a_model_without_linear_layers_cannot(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, bos_token_id=1, eos_token_id=1
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    engine = TransformersGenerator(str(folder), device="cpu", dtype="int8")
    with pytest.raises(GenerationError, match="no linear layers that could be turned into int8"):
        engine.load()
