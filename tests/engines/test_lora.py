"""Plain LoRA against PEFT's own merge, and what is left to PEFT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmner.engines._lora import add_plain_lora, is_plain_lora
from llmner.engines.adapters import PACKAGED_ADAPTER, Adapter, find_adapter
from llmner.recipes import Recipe
from tests.tiny import tiny_model

torch = pytest.importorskip("torch", reason='needs pip install "llmner[local]"')
transformers = pytest.importorskip("transformers", reason='needs pip install "llmner[local]"')
peft = pytest.importorskip("peft", reason='needs pip install "llmner[local]"')


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base"))


def loaded(base: Path, dtype: Any) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(base, dtype=dtype)


def trained(base: Path, folder: Path, **settings: Any) -> Adapter:
    torch.manual_seed(5)
    given = {"r": 4, "lora_alpha": 12, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    model = peft.get_peft_model(loaded(base, torch.bfloat16), peft.LoraConfig(**(given | settings)))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.normal_(std=0.3)
    model.save_pretrained(folder)
    return Adapter(str(folder), folder, str(base), Recipe.load("klue"))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_weights_are_those_of_peft(base: Path, tmp_path: Path, dtype: str) -> None:
    adapter = trained(base, tmp_path)
    assert is_plain_lora(adapter)
    mine, theirs = (loaded(base, getattr(torch, dtype)) for _ in range(2))
    assert add_plain_lora(mine, adapter)
    merged = peft.PeftModel.from_pretrained(theirs, str(tmp_path)).merge_and_unload()
    changed = 0
    for (name, one), other, before in zip(
        mine.named_parameters(),
        merged.parameters(),
        loaded(base, getattr(torch, dtype)).parameters(),
        strict=True,
    ):
        assert torch.equal(one, other), name
        changed += not torch.equal(one, before)
    assert changed >= 14


@pytest.mark.parametrize(
    "settings",
    [
        {"use_rslora": True},
        {"use_dora": True},
        {"rank_pattern": {"q_proj": 2}},
        {"alpha_pattern": {"q_proj": 2}},
        {"modules_to_save": ["lm_head"]},
    ],
)
def test_what_is_not_plain_is_left_to_peft(
    base: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    assert not is_plain_lora(trained(base, tmp_path, **settings))


def test_a_setting_that_is_not_known_is_not_plain(base: Path, tmp_path: Path) -> None:
    adapter = trained(base, tmp_path)
    path = tmp_path / "adapter_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "use_something_new": True}))
    assert not is_plain_lora(adapter)
    path.write_text(json.dumps({**settings, "use_something_new": None}))
    assert is_plain_lora(adapter)


def test_an_adapter_of_another_model_changes_nothing(base: Path, tmp_path: Path) -> None:
    adapter = trained(base, tmp_path / "adapter")
    other = loaded(tiny_model(tmp_path / "other", width=16), torch.float32)
    before = [weight.clone() for weight in other.parameters()]
    assert not add_plain_lora(other, adapter)
    assert all(map(torch.equal, before, other.parameters()))


def test_the_packaged_adapter_is_plain() -> None:
    assert is_plain_lora(find_adapter(PACKAGED_ADAPTER))
