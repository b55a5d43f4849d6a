"""EXAONE 3.x checkpoints in Llama's layout: the same model, held against a forward pass written
here.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmner.engines import create_generator
from llmner.engines.exaone import convert_exaone, is_exaone3, llama_name
from llmner.engines.transformers_engine import TransformersGenerator
from llmner.errors import GenerationError, InputError
from llmner.recipes.chat import Prompt
from tests.conftest import ROOT

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")
transformers = pytest.importorskip("transformers")

LAYERS, HIDDEN, HEADS, KV_HEADS, INNER, VOCAB, END = 3, 32, 4, 2, 48, 400, 361
ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
TEMPLATE = (
    "{% for message in messages %}{{ '[|' + message['role'] + '|]' + message['content'] }}"
    "{{ '\\n' if message['role'] == 'user' else '[|endofturn|]\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[|assistant|]' }}{% endif %}"
)


def config(**changed: Any) -> dict[str, Any]:
    return {
        "model_type": "exaone",
        "architectures": ["ExaoneForCausalLM"],
        "auto_map": {"AutoModelForCausalLM": "modeling_exaone.ExaoneForCausalLM"},
        "activation_function": "silu",
        "vocab_size": VOCAB,
        "hidden_size": HIDDEN,
        "num_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "intermediate_size": INNER,
        "layer_norm_epsilon": 1e-5,
        "max_position_embeddings": 256,
        "rope_theta": 500000.0,
        "rope_scaling": ROPE,
        "bos_token_id": 1,
        "eos_token_id": END,
        "pad_token_id": 0,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        **changed,
    }


def weights(seed: int = 0) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator) / math.sqrt(shape[-1])

    kv = HIDDEN // HEADS * KV_HEADS
    made = {
        "transformer.wte.weight": random(VOCAB, HIDDEN),
        "lm_head.weight": random(VOCAB, HIDDEN),
    }
    made["transformer.ln_f.weight"] = 1 + random(HIDDEN)
    for n in range(LAYERS):
        layer = f"transformer.h.{n}."
        made |= {
            layer + "ln_1.weight": 1 + random(HIDDEN),
            layer + "ln_2.weight": 1 + random(HIDDEN),
            layer + "attn.attention.q_proj.weight": random(HIDDEN, HIDDEN),
            layer + "attn.attention.k_proj.weight": random(kv, HIDDEN),
            layer + "attn.attention.v_proj.weight": random(kv, HIDDEN),
            layer + "attn.attention.out_proj.weight": random(HIDDEN, HIDDEN),
            layer + "mlp.c_fc_0.weight": random(INNER, HIDDEN),
            layer + "mlp.c_fc_1.weight": random(INNER, HIDDEN),
            layer + "mlp.c_proj.weight": random(HIDDEN, INNER),
        }
    return made


def checkpoint(folder: Path, tensors: dict[str, Any], *, shards: int = 1, **changed: Any) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config(**changed)))
    (folder / "modeling_exaone.py").write_text("raise RuntimeError('remote code was run')")
    (folder / "LICENSE").write_text("non-commercial")
    if shards == 1:
        safetensors.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        names = sorted(tensors)
        where = {}
        for n in range(shards):
            part = {name: tensors[name] for name in names[n::shards]}
            file = f"model-{n + 1:05}-of-{shards:05}.safetensors"
            safetensors.save_file(part, folder / file, metadata={"format": "pt"})
            where.update(dict.fromkeys(part, file))
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    tokenizer(folder)
    return folder


def tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"[PAD]": 0, "[BOS]": 1, "[|endofturn|]": END}
    for number, word in enumerate(
        ("[|system|]", "[|user|]", "[|assistant|]", "손흥민", "은", "\n", "[UNK]"), 2
    ):
        words[word] = number
    words |= {f"w{n}": n for n in range(len(words) - 1, VOCAB) if n != END}
    made = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(
        ["[|system|]", "[|user|]", "[|assistant|]", "[|endofturn|]", "[PAD]", "[BOS]"]
    )
    made.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": TEMPLATE,
        "eos_token": "[|endofturn|]",
        "pad_token": "[PAD]",
        "auto_map": {"AutoTokenizer": ["tokenization_exaone.ExaoneTokenizer", None]},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def forward(weights: dict[str, Any], ids: Any, scaling: dict[str, Any] | None) -> Any:
    """EXAONE 3's forward pass as its paper and configuration describe it. ids: (length,) →
    (length, vocabulary).
    """
    size, length = HIDDEN // HEADS, len(ids)
    frequencies = [500000.0 ** (-2 * n / size) for n in range(size // 2)]
    if scaling is not None:
        # Long waves are stretched by the factor, short ones left alone, those between in part.
        stretched = []
        for frequency in frequencies:
            turns = scaling["original_max_position_embeddings"] * frequency / (2 * math.pi)
            low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
            share = min(1.0, max(0.0, (turns - low) / (high - low)))
            stretched.append(frequency * share + frequency / scaling["factor"] * (1 - share))
        frequencies = stretched
    angles = torch.arange(length)[:, None] * torch.tensor(frequencies)[None]

    def turn(x: Any) -> Any:  # (heads, length, size)
        a, b = x[..., : size // 2], x[..., size // 2 :]
        cos, sin = angles.cos(), angles.sin()
        return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)

    def norm(x: Any, weight: Any) -> Any:
        return x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * weight

    x = weights["transformer.wte.weight"][ids]
    for n in range(LAYERS):
        layer = {
            key.removeprefix(f"transformer.h.{n}."): value
            for key, value in weights.items()
            if key.startswith(f"transformer.h.{n}.")
        }
        h = norm(x, layer["ln_1.weight"])

        def heads(name: str, count: int, h: Any = h, layer: dict[str, Any] = layer) -> Any:
            return (
                (h @ layer[f"attn.attention.{name}_proj.weight"].T)
                .view(length, count, size)
                .transpose(0, 1)
            )

        q, k, v = turn(heads("q", HEADS)), turn(heads("k", KV_HEADS)), heads("v", KV_HEADS)
        k, v = (side.repeat_interleave(HEADS // KV_HEADS, dim=0) for side in (k, v))
        seen = torch.ones(length, length).tril().bool()
        scores = (q @ k.transpose(1, 2) / math.sqrt(size)).masked_fill(~seen, -math.inf).softmax(-1)
        x = (
            x
            + (scores @ v).transpose(0, 1).reshape(length, HIDDEN)
            @ layer["attn.attention.out_proj.weight"].T
        )
        h = norm(x, layer["ln_2.weight"])
        gate = torch.nn.functional.silu(h @ layer["mlp.c_fc_0.weight"].T)
        x = x + (gate * (h @ layer["mlp.c_fc_1.weight"].T)) @ layer["mlp.c_proj.weight"].T
    head = weights.get("lm_head.weight", weights["transformer.wte.weight"])
    return norm(x, weights["transformer.ln_f.weight"]) @ head.T


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("scaling", [None, ROPE])
def test_the_copy_gives_the_logits_of_the_original(
    tmp_path: Path, shards: int, scaling: dict[str, Any] | None
) -> None:
    tensors = weights()
    stored = tensors | {"transformer.h.0.attn.attention.rotary.inv_freq": torch.ones(4)}
    source = checkpoint(tmp_path / "source", stored, shards=shards, rope_scaling=scaling)
    count = convert_exaone(source, tmp_path / "EXAONE-tiny")
    assert count == len(tensors)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "EXAONE-tiny", dtype=torch.float32
    )
    ids = torch.randint(VOCAB, (100,), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        logits = model(ids[None]).logits[0]
    torch.testing.assert_close(logits, forward(tensors, ids, scaling), atol=2e-5, rtol=1e-4)


def test_tied_embeddings_stay_tied(tmp_path: Path) -> None:
    tensors = {name: tensor for name, tensor in weights().items() if name != "lm_head.weight"}
    source = checkpoint(tmp_path / "source", tensors, tie_word_embeddings=True)
    convert_exaone(source, tmp_path / "EXAONE-tied")
    model = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "EXAONE-tied", dtype=torch.float32
    )
    ids = torch.arange(20)
    with torch.inference_mode():
        torch.testing.assert_close(
            model(ids[None]).logits[0], forward(tensors, ids, ROPE), atol=2e-5, rtol=1e-4
        )


def test_tokenizer_template_end_of_turn_and_licence_come_along_and_code_does_not(
    tmp_path: Path,
) -> None:
    source = checkpoint(tmp_path / "source", weights())
    target = tmp_path / "EXAONE-tiny"
    convert_exaone(source, target)
    assert not list(target.glob("*.py"))
    assert (target / "LICENSE").read_text() == "non-commercial"
    assert (
        "auto_map"
        not in (target / "config.json").read_text() + (target / "tokenizer_config.json").read_text()
    )
    held = transformers.AutoTokenizer.from_pretrained(target)
    messages = [{"role": "system", "content": "은"}, {"role": "user", "content": "손흥민"}]
    text = held.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "[|system|]은[|endofturn|]\n[|user|]손흥민\n[|assistant|]"
    assert held.eos_token_id == END
    model = transformers.AutoModelForCausalLM.from_pretrained(target)
    assert model.generation_config.eos_token_id == END
    assert type(model).__name__ == "LlamaForCausalLM"
    # It answers through the engine like any other model.
    prompt = Prompt(messages=messages, completion="", stop=None, text="손흥민")  # type: ignore[arg-type]
    (reply,) = create_generator(
        "transformers", model=str(target), max_new_tokens=3, device="cpu"
    ).generate([prompt])
    assert reply.completion_tokens is not None


def test_the_original_is_copied_once_and_its_code_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMNER_CACHE", str(tmp_path / "cache"))
    source = checkpoint(tmp_path / "source", weights())
    told: list[str] = []
    for _ in range(2):
        generator = TransformersGenerator(
            str(source), device="cpu", dtype="float32", report=told.append
        )
        model, _ = generator.load()
        assert generator.describe()["model"] == str(source)
    (copy,) = (tmp_path / "cache" / "exaone").iterdir()
    assert copy.name.startswith("EXAONE-source-llama-")
    assert (copy / "LICENSE").read_text() == "non-commercial"
    assert sum(line.startswith("Copying ") for line in told) == 1
    ids = torch.arange(20)
    with torch.inference_mode():
        torch.testing.assert_close(
            model(ids[None]).logits[0], forward(weights(), ids, ROPE), atol=2e-5, rtol=1e-4
        )
    # Another checkpoint under the same name is another copy.
    safetensors.save_file(weights(1), source / "model.safetensors", metadata={"format": "pt"})
    TransformersGenerator(str(source), device="cpu").load()
    assert len(list((tmp_path / "cache" / "exaone").iterdir())) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.pop("transformer.h.1.mlp.c_fc_1.weight"),
            "lacks 'model.layers.1.mlp.up_proj.weight'",
        ),
        (
            lambda t: t.update({"transformer.h.0.mlp.bias": torch.ones(1)}),
            "have no tensor 'transformer.h.0.mlp.bias'",
        ),
        (
            lambda t: t.update({"transformer.h.3.ln_1.weight": torch.ones(HIDDEN)}),
            "which a model of 3 layers does not",
        ),
        (lambda t: t.pop("lm_head.weight"), "lacks 'lm_head.weight'"),
    ],
)
def test_a_tensor_too_many_or_too_few_is_refused_and_leaves_nothing(
    tmp_path: Path, change: Any, message: str
) -> None:
    tensors = weights()
    change(tensors)
    source = checkpoint(tmp_path / "source", tensors)
    with pytest.raises(InputError, match=message):
        convert_exaone(source, tmp_path / "EXAONE-tiny")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_what_is_no_such_checkpoint_is_refused(tmp_path: Path) -> None:
    assert not is_exaone3(tmp_path)
    with pytest.raises(InputError, match=r"holds no EXAONE 3\.0 or 3\.5 checkpoint"):
        convert_exaone(tmp_path, tmp_path / "EXAONE-x")
    source = checkpoint(tmp_path / "source", weights())
    with pytest.raises(InputError, match='name that begins with "EXAONE"'):
        convert_exaone(source, tmp_path / "mine")
    with pytest.raises(InputError, match="exists"):
        convert_exaone(source, source)
    with pytest.raises(InputError, match="its folder does not exist"):
        convert_exaone(source, tmp_path / "no" / "EXAONE-x")
    (source / "model.safetensors").write_bytes(b"\x08" + b"\0" * 7 + b"nonsense")
    with pytest.raises(GenerationError, match="cannot be read"):
        convert_exaone(source, tmp_path / "EXAONE-x")
    (source / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"pickled weights \(\.bin\) are not read"):
        convert_exaone(source, tmp_path / "EXAONE-x")
    (source / "model.safetensors.index.json").write_text(
        '{"weight_map": {"lm_head.weight": "../x.safetensors"}}'
    )
    with pytest.raises(InputError, match="a shard of the index is missing"):
        convert_exaone(source, tmp_path / "EXAONE-x")


def test_names_are_those_of_llama() -> None:
    assert (
        llama_name("transformer.h.31.attn.attention.out_proj.weight")
        == "model.layers.31.self_attn.o_proj.weight"
    )
    assert llama_name("transformer.h.0.attn.attention.rotary.inv_freq") is None
    with pytest.raises(KeyError):
        llama_name("transformer.h.0.attn.attention.q_proj.bias")


def test_the_script_says_what_it_does(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "source", weights(), shards=2)
    command = [sys.executable, str(ROOT / "scripts" / "convert_exaone.py"), str(source)]
    done = subprocess.run(
        [*command, str(tmp_path / "EXAONE-tiny")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Shard 2 of 2" in done.stderr
    assert "wrote 30 tensors to" in done.stderr
    again = subprocess.run(
        [*command, str(tmp_path / "EXAONE-tiny")], capture_output=True, text=True, check=False
    )
    assert again.returncode == 2
    assert again.stderr.strip().endswith("EXAONE-tiny: already exists; name a new folder")
