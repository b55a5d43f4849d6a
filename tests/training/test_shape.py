"""Sizes of models: the known ones are the real architectures', and a folder's are read from its
config.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmner.errors import InputError
from llmner.training import _shape as module
from llmner.training import load_config
from llmner.training._shape import Shape, shape_of
from tests.conftest import ROOT
from tests.tiny import tiny_model

CONFIGS = sorted((ROOT / "scripts" / "configs").glob("*.yaml"))

LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 500,
    "tie_word_embeddings": False,
}


def folder(path: Path, **config: Any) -> str:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("LGAI-EXAONE/EXAONE-3.0-7.8B-Instruct", "Llama"),
        ("EXAONE-3.5-7.8B-llama", "Llama"),
        ("exaone-3.5-2.4b-instruct", "Llama"),
        ("EXAONE-3.5-32B-Instruct", "Llama"),
        ("LGAI-EXAONE/EXAONE-4.0-1.2B", "Exaone4"),
        ("LGAI-EXAONE/EXAONE-4.0-32B", "Exaone4"),
        ("gemma-3-270m", "Gemma3"),
    ],
)
def test_known_shapes_have_the_real_architectures_parameters(name: str, architecture: str) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    shape = shape_of(name)
    assert shape.name == name
    text = "Text" if architecture == "Gemma3" else ""
    config = getattr(transformers, f"{architecture}{text}Config")(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        tie_word_embeddings=shape.tied,
    )
    with torch.device("meta"):
        model = getattr(transformers, f"{architecture}ForCausalLM")(config)
    model.tie_weights()
    counts = {"linear": 0, "embedding": 0, "norm": 0}
    for parameter_name, weight in dict(model.named_parameters()).items():
        kind = (
            "norm" if weight.dim() == 1 else "linear" if "proj" in parameter_name else "embedding"
        )
        counts[kind] += weight.numel()
    parameters = shape.parameters
    assert counts == {
        "linear": parameters.linear,
        "embedding": parameters.embedding,
        "norm": parameters.norm,
    }
    linears = model.model.layers[0].named_modules()
    assert shape.linears == {
        path.rpartition(".")[2]: (layer.in_features, layer.out_features)
        for path, layer in linears
        if isinstance(layer, torch.nn.Linear)
    }


def test_known_totals_are_those_of_the_model_cards() -> None:
    totals = {
        name: round(shape_of(name).parameters.total / 1e9, 2)
        for name in (
            "EXAONE-3.0-7.8B-Instruct",
            "EXAONE-3.5-2.4B-Instruct",
            "EXAONE-4.0-1.2B",
            "gemma-3-270m",
        )
    }
    assert list(totals.values()) == [7.82, 2.41, 1.28, 0.27]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_configurations_shipped_need_no_download_to_be_sized(path: Path) -> None:
    pytest.importorskip("jsonargparse")
    assert shape_of(load_config(path).model.model).layers > 0


def test_a_folder_that_transformers_wrote_is_read(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    shape = shape_of(str(tiny_model(tmp_path, width=64, layers=3)))
    assert (shape.layers, shape.width, shape.intermediate, shape.heads) == (3, 64, 128, 4)
    assert (shape.kv_heads, shape.head_dim, shape.tied) == (4, 16, False)


def test_exaone_3_names_its_layers_otherwise(tmp_path: Path) -> None:
    config = {key: value for key, value in LLAMA.items() if key != "num_hidden_layers"}
    shape = shape_of(folder(tmp_path / "raw", **config | {"model_type": "exaone", "num_layers": 7}))
    assert (shape.layers, shape.kv_heads, shape.norms, shape.head_norms) == (7, 2, 2, False)


def test_what_a_configuration_leaves_out_is_its_familys_default(tmp_path: Path) -> None:
    config = {key: value for key, value in LLAMA.items() if key != "tie_word_embeddings"}
    assert shape_of(folder(tmp_path / "llama", **config)).tied is False
    assert shape_of(folder(tmp_path / "exaone", **config | {"model_type": "exaone"})).tied is True
    gemma = shape_of(folder(tmp_path / "gemma", **config | {"model_type": "gemma3_text"}))
    assert (gemma.tied, gemma.head_dim, gemma.norms, gemma.head_norms) == (True, 256, 4, True)
    qwen = shape_of(folder(tmp_path / "qwen", **config | {"model_type": "qwen3", "head_dim": 32}))
    assert (qwen.tied, qwen.head_dim, qwen.norms, qwen.head_norms) == (False, 32, 2, True)


def test_a_model_that_sees_pictures_keeps_its_text_sizes_apart(tmp_path: Path) -> None:
    nested = {
        "model_type": "gemma3",
        "text_config": LLAMA | {"model_type": "gemma3_text", "head_dim": 16},
    }
    shape = shape_of(folder(tmp_path / "sees", **nested))
    assert (shape.layers, shape.head_dim, shape.norms) == (3, 16, 4)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hidden_size": None}, r"config\.json: hidden_size must be .* got None"),
        ({"num_hidden_layers": "many"}, "num_hidden_layers must be .* got 'many'"),
        ({"num_experts": 8}, "a mixture of experts"),
    ],
)
def test_sizes_that_are_missing_are_named(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        shape_of(folder(tmp_path / "model", **LLAMA | changed))


def test_a_folder_without_a_configuration_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        shape_of(str(tmp_path))
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        shape_of(str(tmp_path))
    (tmp_path / "config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match="is not a model's configuration"):
        shape_of(str(tmp_path))


@pytest.mark.parametrize(
    "name", ["someone/unheard-of", "EXAONE-3.5-7.8Bx", "EXAONE-9-1B", "a b//c"]
)
def test_an_unknown_name_says_what_to_fetch(name: str) -> None:
    with pytest.raises(InputError, match=r"hf download .* config\.json fetches that file alone"):
        shape_of(name)


def test_a_configuration_fetched_before_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder(tmp_path / "cache", **LLAMA)
    monkeypatch.setattr(module, "_cached", lambda model: Path(path) / "config.json")
    assert shape_of("someone/something").layers == 3


def test_a_feed_forward_part_without_a_gate_has_two_layers() -> None:
    shape = Shape("plain", 1, 8, 16, 2, 2, 4, 10, tied=True, gated=False)
    assert "gate_proj" not in shape.linears
    assert shape.parameters.linear == 4 * 8 * 8 + 2 * 8 * 16
