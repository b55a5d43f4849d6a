"""The transformers engine against ``generate`` of transformers, on tiny models of many makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmner.engines.transformers_engine import TransformersGenerator
from llmner.recipes.chat import Prompt
from tests.tiny import tiny_model

torch = pytest.importorskip("torch", reason='needs pip install "llmner[local]"')
transformers = pytest.importorskip("transformers", reason='needs pip install "llmner[local]"')

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
# Windows shorter than the questions, scores with a cap or a scale, layers with another state.
MAKES: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Qwen2": {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 2},
    "Qwen3": {},
    "Mistral": {"sliding_window": 6},
    "Gemma2": {"sliding_window": 6, "final_logit_softcapping": 3.0, "query_pre_attn_scalar": 8},
    "Gemma3": {"sliding_window": 6, "query_pre_attn_scalar": 8},
    "Exaone4": {"sliding_window": 6, "sliding_window_pattern": 2},
    "Granite": {"logits_scaling": 4.0},
    "Cohere": {"logit_scale": 0.5},
    "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "GPTNeoX": {},
    "Mamba": {},
    "FalconH1": {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8},
}
HEADS = {"GPT2": "GPT2LMHeadModel"}
TEXTS = (
    "손흥민은 춘천에서 태어났다.",
    "가",
    "He sings in 춘천 and 서울",
    "라라라 라라라 라라라",
    "1",
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tiny_model(tmp_path_factory.mktemp("tokenizer"))
    return transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")


def built(make: str, tokenizer: Any) -> Any:
    torch.manual_seed(3)
    name = f"{make}TextConfig" if make == "Gemma3" else f"{make}Config"
    config = getattr(transformers, name)(vocab_size=len(tokenizer), **(SIZES | MAKES[make]))
    model = getattr(transformers, HEADS.get(make, f"{make}ForCausalLM"))(config).float().eval()
    with torch.no_grad():
        # Freshly made models hardly look at their question.
        for weight in model.parameters():
            weight.mul_(3)
    return model


@pytest.mark.parametrize("make", MAKES)
def test_answers_are_those_of_generate(make: str, tokenizer: Any, tmp_path: Path) -> None:
    model = built(make, tokenizer)
    expected = []
    for text in TEXTS:
        asked = tokenizer(text, return_tensors="pt")
        told = model.generate(
            **asked, max_new_tokens=20, do_sample=False, pad_token_id=0, eos_token_id=2
        )
        answer = told[0, asked["input_ids"].shape[1] :]
        expected.append(tokenizer.decode(answer, skip_special_tokens=True).strip())
    # No random answer has this stop.
    prompts = [Prompt((), text, "끝끝끝끝", text) for text in TEXTS]
    for size in (1, 2, 5):
        engine = TransformersGenerator.around(
            model, tokenizer, name=make, batch_size=size, max_new_tokens=20
        )
        assert [reply.text for reply in engine.generate(prompts)] == expected
