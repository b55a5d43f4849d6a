"""Adapters that were trained on EXAONE's own layout, on copies in Llama's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
huggingface_hub = pytest.importorskip("huggingface_hub")

from llmner import Recipe  # noqa: E402
from llmner.engines.adapters import find_adapter  # noqa: E402
from llmner.engines.exaone import llama_adapter  # noqa: E402
from llmner.engines.transformers_engine import TransformersGenerator  # noqa: E402
from llmner.errors import GenerationError  # noqa: E402
from tests.conftest import ROOT  # noqa: E402
from tests.engines.test_exaone import ROPE, checkpoint, forward, weights  # noqa: E402
from tests.hub.hub_server import TOKEN, HubServer, Repo, serving  # noqa: E402

IDS = torch.arange(30) * 7
LAYERS = ("attn.attention.q_proj", "attn.attention.out_proj", "mlp.c_fc_0", "mlp.c_proj")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLMNER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def adapter(folder: Path, layers: tuple[str, ...] = LAYERS, **settings: Any) -> dict[str, Any]:
    """Write an adapter of these layers, and give the weights that it makes of the model's."""
    generator = torch.Generator().manual_seed(5)
    tensors, adapted = {}, weights()
    for name, weight in weights().items():
        layer = name.removesuffix(".weight")
        if layer.startswith("transformer.h.") and layer.split(".", 3)[3] in layers:
            left = torch.randn(4, weight.shape[1], generator=generator) / 4
            right = torch.randn(weight.shape[0], 4, generator=generator) / 4
            tensors[f"base_model.model.{layer}.lora_A.weight"] = left
            tensors[f"base_model.model.{layer}.lora_B.weight"] = right
            adapted[name] = weight + 2 * right @ left
    folder.mkdir()
    safetensors.save_file(tensors, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": 4,
        "lora_alpha": 8,
        # As scripts have it that were written for Llama: only some of these are in EXAONE.
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj"],
        **settings,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return adapted


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "PEFT"])
@pytest.mark.parametrize("layers", [LAYERS, LAYERS[:1]], ids=["many", "one"])
def test_its_layers_are_renamed_and_all_of_them_count(
    tmp_path: Path, plain: bool, layers: tuple[str, ...]
) -> None:
    settings: dict[str, Any] = {} if plain else {"use_rslora": True, "lora_alpha": 4}
    adapted = adapter(tmp_path / "old", layers, **settings)
    source = checkpoint(tmp_path / "source", weights())
    engine = TransformersGenerator(
        str(source), adapter=str(tmp_path / "old"), device="cpu", dtype="float32"
    )
    model, _ = engine.load()
    with torch.inference_mode():
        torch.testing.assert_close(
            model(IDS[None]).logits[0], forward(adapted, IDS, ROPE), atol=5e-4, rtol=1e-3
        )
    assert engine.describe()["adapter"] == str(tmp_path / "old")


def test_patterns_are_renamed_too(tmp_path: Path) -> None:
    adapter(
        tmp_path / "old",
        rank_pattern={"c_proj": 4, "mlp.c_fc_0": 4},
        alpha_pattern={"transformer.h.0.attn.attention.out_proj": 16},
    )
    renamed = llama_adapter(find_adapter(str(tmp_path / "old")))
    config = json.loads((renamed.folder / "adapter_config.json").read_text())
    assert config["target_modules"] == ["down_proj", "gate_proj", "o_proj", "q_proj"]
    assert config["rank_pattern"] == {"down_proj": 4, "mlp.gate_proj": 4}
    assert config["alpha_pattern"] == {"model.layers.0.self_attn.o_proj": 16}


@pytest.mark.parametrize(
    "layer",
    ["transformer.h.{}.attn.c_attn", "model.layers.{}.self_attn.qkv_proj", "layers.{}.q_proj"],
)
@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], ["c_attn", "qkv_proj"], "all-linear"])
def test_an_adapter_of_which_nothing_is_in_the_model_is_an_error(
    tmp_path: Path, layer: str, targets: str | list[str]
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    tensors = {
        f"base_model.model.{layer.format(number)}.lora_{side}.weight": torch.ones(shape)
        for number in range(3)
        for side, shape in (("A", (4, 32)), ("B", (32, 4)))
    }
    safetensors.save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "target_modules": targets}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    source = checkpoint(tmp_path / "source", weights())
    engine = TransformersGenerator(str(source), adapter=str(folder), device="cpu")
    with pytest.raises(GenerationError, match="does not belong to this model"):
        engine.load()


def test_adapters_of_other_models_with_like_names_are_left_alone(tmp_path: Path) -> None:
    """GPT-Neo's layers are called like EXAONE's."""
    shape = {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "intermediate_size": 64}
    base = transformers.GPTNeoForCausalLM(
        transformers.GPTNeoConfig(
            **shape,
            vocab_size=400,
            attention_types=[[["global", "local"], 1]],
            bos_token_id=1,
            eos_token_id=361,
        )
    )
    checkpoint(tmp_path / "source", weights())
    base.save_pretrained(tmp_path / "neo")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "neo" / name).write_bytes((tmp_path / "source" / name).read_bytes())
    config = peft.LoraConfig(target_modules=["q_proj", "out_proj"], init_lora_weights=False)
    adapted = peft.get_peft_model(base, config)
    adapted.save_pretrained(tmp_path / "adapter")
    with torch.inference_mode():
        expected = adapted(IDS[None]).logits
        engine = TransformersGenerator(
            str(tmp_path / "neo"), adapter=str(tmp_path / "adapter"), device="cpu", dtype="float32"
        )
        model, _ = engine.load()
        torch.testing.assert_close(model(IDS[None]).logits, expected, atol=1e-4, rtol=1e-4)


def llmner(
    environment: dict[str, str], *arguments: str, code: int = 0
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "llmner", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


BASE = "LGAI-EXAONE/EXAONE-3.5-2.4B-Instruct"


@pytest.mark.slow
def test_an_adapter_of_a_copy_comes_back_from_the_hub_with_the_base_it_belongs_to(
    tmp_path: Path, cache: Path
) -> None:
    source = checkpoint(tmp_path / "source", weights())
    folder = tmp_path / "EXAONE-mine"
    adapter(folder, base_model_name_or_path="models/EXAONE-3.5-2.4B-llama")
    (folder / "recipe.yaml").write_text(Recipe.load("klue-sft").to_yaml(), encoding="utf-8")
    hub = HubServer()
    hub.repos[BASE] = Repo(
        files={path.name: (path.read_bytes(), False) for path in source.iterdir()}
    )
    with serving(hub):
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(tmp_path / "hf"),
            "LLMNER_CACHE": str(cache),
        }
        llmner(environment, "push", str(folder), "--repo", "someone/EXAONE-mine")
        stored = json.loads(hub.repos["someone/EXAONE-mine"].files["adapter_config.json"][0])
        assert stored["base_model_name_or_path"] == BASE
        question = (
            "extract",
            "손흥민은 왔다.",
            "--json",
            "--max-new-tokens",
            "4",
            "--device",
            "cpu",
        )
        told = []
        for _ in range(2):
            # It has learnt nothing, so its answer is cut off.
            done = llmner(environment, *question, "--adapter", "someone/EXAONE-mine", code=1)
            told.append(done.stderr)
    assert f"Copying {BASE} into Llama's layout (once)" in told[0]
    assert "Copying" not in told[1]
    assert "1 answers were cut off" in told[1]
    assert not list((tmp_path / "hf").rglob("*.py"))
    assert json.loads(done.stdout)["text"] == "손흥민은 왔다."
