"""Adapters: every expected layer has one, or nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmner.errors import GenerationError, InputError
from llmner.training import LoraOptions, ModelOptions
from tests.tiny import tiny_model

torch = pytest.importorskip("torch", reason='needs pip install "llmner[train]"')
peft = pytest.importorskip("peft", reason='needs pip install "llmner[train]"')
pytest.importorskip("bitsandbytes", reason='needs pip install "llmner[train]"')
from llmner.training._model import adapter_config, check_coverage, load_for_training  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"), width=64)


def loaded(folder: Path, quantization: Any = "none") -> Any:
    return load_for_training(ModelOptions(model=str(folder), quantization=quantization))[0]


@pytest.mark.parametrize("quantization", ["none", "4bit"])
def test_all_linear_covers_every_linear_layer_but_the_head(folder: Path, quantization: str) -> None:
    model = loaded(folder, quantization)
    options = LoraOptions(lora_rank=4)
    wrapped = peft.get_peft_model(model, adapter_config(model, options))
    coverage = check_coverage(wrapped, options)
    # q, k, v, o, gate, up, down of two layers
    assert (coverage.modules, coverage.linear, coverage.bare) == (14, 14, ())
    width, inner = 64, 128
    assert coverage.trained == 2 * 4 * (4 * (width + width) + 3 * (width + inner))
    plain = (
        2 * (4 * width * width + 3 * width * inner)
        + 2 * width * model.config.vocab_size
        + 5 * width
    )
    # Four bits count as the weights they stand for, not as the bytes they are kept in.
    assert coverage.total == plain + coverage.trained
    assert "14 of 14 linear layers" in str(coverage)


def test_four_bit_weights_are_nf4_with_double_quantisation(folder: Path) -> None:
    layer = loaded(folder, "4bit").model.layers[0].mlp.up_proj
    state = layer.weight.quant_state
    assert (state.quant_type, state.nested) == ("nf4", True)
    assert layer.compute_dtype == torch.bfloat16


def test_named_targets_say_what_stays_without_an_adapter(folder: Path) -> None:
    model = loaded(folder)
    options = LoraOptions(lora_targets=["q_proj", "k_proj", "v_proj"])
    coverage = check_coverage(peft.get_peft_model(model, adapter_config(model, options)), options)
    assert coverage.modules == 6
    assert coverage.bare == ("down_proj", "gate_proj", "o_proj", "up_proj")
    assert "without one: down_proj" in str(coverage)


def test_a_name_that_matches_nothing_is_an_error_though_others_match(folder: Path) -> None:
    with pytest.raises(
        InputError, match=r"out_proj, c_fc_0 matches nothing .* gate_proj, k_proj, o_proj"
    ):
        adapter_config(loaded(folder), LoraOptions(lora_targets=["q_proj", "out_proj", "c_fc_0"]))
    with pytest.raises(InputError, match="an empty list"):
        adapter_config(loaded(folder), LoraOptions(lora_targets=[]))


def test_a_layer_that_went_without_is_found(folder: Path) -> None:
    model = loaded(folder)
    some = LoraOptions(lora_targets=["q_proj", "k_proj"])
    wrapped = peft.get_peft_model(model, adapter_config(model, some))
    with pytest.raises(
        InputError, match=r"10 of 14 linear layers got no adapter, such as model\.layers\.0\.mlp"
    ):
        check_coverage(wrapped, LoraOptions())


def test_a_model_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match=r"nothing-here cannot be loaded"):
        load_for_training(ModelOptions(model=str(tmp_path / "nothing-here")))
