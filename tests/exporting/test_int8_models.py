"""Language models in eight bits: transformers reads them through compressed-tensors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason='needs pip install "llmner[local]"')
transformers = pytest.importorskip("transformers", reason='needs pip install "llmner[local]"')

from llmner.cli import app  # noqa: E402
from llmner.errors import InputError  # noqa: E402
from llmner.exporting import export_model  # noqa: E402
from tests.tiny import EXAONE, tiny_model  # noqa: E402


def test_transformers_reads_what_was_written(tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors", reason="needs pip install compressed-tensors")
    model = tiny_model(tmp_path / "llama", template=EXAONE, width=64)
    exported = export_model(str(model), tmp_path / "out", "int8")
    assert exported.error is not None
    assert 0 < exported.error < 0.02
    first = transformers.AutoModelForCausalLM.from_pretrained(str(model))
    second = transformers.AutoModelForCausalLM.from_pretrained(str(tmp_path / "out"))
    ids = torch.arange(3, 40)[None]
    with torch.inference_mode():
        wanted, found = first(ids).logits.float(), second(ids).logits.float()
    assert (found - wanted).abs().max() < 0.05 * wanted.abs().max()
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "out"))
    assert tokenizer.chat_template == EXAONE


def test_matrices_are_integers_and_the_rest_is_left(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = tiny_model(tmp_path / "llama", width=64)
    done = CliRunner().invoke(
        app, ["export", str(model), "--to", "int8", "-o", str(tmp_path / "out")]
    )
    assert done.exit_code == 0, done.output
    before = load_file(model / "model.safetensors")
    after = load_file(tmp_path / "out" / "model.safetensors")
    name = "model.layers.0.self_attn.q_proj.weight"
    assert after[name].dtype == torch.int8
    step = after[f"{name}_scale"]
    assert step.shape == (64, 1)
    close = after[name].float() * step.float() - before[name].float()
    assert (close.abs() <= 0.51 * step.float() + 1e-3).all()
    for left in ("lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"):
        assert torch.allclose(after[left].float(), before[left].float(), atol=1e-2)
    config = json.loads((tmp_path / "out" / "config.json").read_text("utf-8"))
    assert config["quantization_config"]["ignore"] == ["lm_head"]


def test_adapters_become_whole_models(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    base = tiny_model(tmp_path / "llama", width=64)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(str(base))
    peft_model = get_peft_model(loaded, LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    for name, weights in peft_model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weights, std=0.2)
    peft_model.save_pretrained(tmp_path / "adapter")
    exported = export_model(str(tmp_path / "adapter"), tmp_path / "out", "bfloat16")
    merged = transformers.AutoModelForCausalLM.from_pretrained(str(exported.folder))
    ids = torch.arange(3, 40)[None]
    with torch.inference_mode():
        wanted, found = peft_model(input_ids=ids).logits, merged(ids).logits.float()
    assert (found - wanted).abs().max() < 0.05 * wanted.abs().max()
    with pytest.raises(InputError, match="no base model"):
        export_model(str(base), tmp_path / "other", "bfloat16", model="gemma-3-270m")


def test_a_derived_models_name_is_checked(tmp_path: Path) -> None:
    source = tmp_path / "EXAONE-3.5-7.8B-Instruct"
    tiny_model(source)
    with pytest.raises(InputError, match="EXAONE"):
        export_model(str(source), tmp_path / "mine", "bfloat16")
    export_model(str(source), tmp_path / "EXAONE-mine", "bfloat16")
