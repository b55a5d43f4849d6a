"""EXAONE 3.0 and 3.5 without remote code: their checkpoints in Llama's layout.

The two architectures are the same under other names: RMS norms, rotary embeddings, grouped queries
and a gated SiLU feed-forward without biases. With its tensors renamed, a checkpoint loads with the
Llama classes of ``transformers``, also in releases in which the model's remote code no longer runs,
and with any engine that knows Llama. EXAONE 4 loads as it is. The weights' licence is
non-commercial; it is copied with them.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from llmner._mishaps import one_line
from llmner.engines._model_files import read_object, read_tensors
from llmner.engines.adapters import ADAPTER_FILE, CONFIG_FILE, RECIPE_FILE, Adapter, fetch, weights
from llmner.engines.embedded import cache_folder
from llmner.errors import GenerationError, InputError, MissingExtraError

__all__ = ["convert_exaone", "is_exaone3", "llama_adapter", "llama_model", "llama_name"]

_OUTSIDE: Final = {
    "transformer.wte.weight": "model.embed_tokens.weight",
    "transformer.ln_f.weight": "model.norm.weight",
    "lm_head.weight": "lm_head.weight",
}
_IN_LAYER: Final = {
    "ln_1.weight": "input_layernorm.weight",
    "attn.attention.q_proj.weight": "self_attn.q_proj.weight",
    "attn.attention.k_proj.weight": "self_attn.k_proj.weight",
    "attn.attention.v_proj.weight": "self_attn.v_proj.weight",
    "attn.attention.out_proj.weight": "self_attn.o_proj.weight",
    "ln_2.weight": "post_attention_layernorm.weight",
    "mlp.c_fc_0.weight": "mlp.gate_proj.weight",
    "mlp.c_fc_1.weight": "mlp.up_proj.weight",
    "mlp.c_proj.weight": "mlp.down_proj.weight",
}
_LAYER: Final = re.compile(r"transformer\.h\.(\d+)\.(.+)")
# Old releases stored these, but they are computed from the configuration.
_BUFFER: Final = re.compile(
    r"(?:^|\.)(?:rotary(?:_emb)?\.inv_freq|attention\.(?:bias|masked_bias))$"
)
_INDEX: Final = "model.safetensors.index.json"
# A factor of an adapter.
_FACTOR: Final = re.compile(
    r"(?P<prefix>base_model\.model\.)(?P<layer>transformer\.h\.\d+\..+?)(?P<factor>\.lora_.+)"
)
# Files of a checkpoint on the Hub that are needed.
_FETCHED: Final = (
    "*.safetensors", "*.json", "merges.txt", "tokenizer*", "chat_template*", "LICENSE*", "NOTICE*"
)  # fmt: skip
# Files of a checkpoint that are copied: those that are neither weights, configuration nor code.
_COPIED: Final = re.compile(
    r"(?:tokenizer.*|vocab\.json|merges\.txt|special_tokens_map\.json|added_tokens\.json|chat_template.*|"
    r"generation_config\.json|LICENSE.*|NOTICE.*)"
)


def is_exaone3(folder: Path) -> bool:
    """Whether a folder holds a checkpoint in the layout of EXAONE 3.0 and 3.5.

    >>> is_exaone3(Path("no-such-folder"))
    False
    """
    try:
        config = read_object(folder / "config.json", "a model's configuration")
    except InputError:
        return False
    return config.get("model_type") == "exaone"


def llama_name(name: str) -> str | None:
    """Llama's name of one of EXAONE's tensors, or ``None`` for a buffer that Llama computes.

    >>> llama_name("transformer.h.3.attn.attention.q_proj.weight")
    'model.layers.3.self_attn.q_proj.weight'

    Raises:
        KeyError: EXAONE 3.0 and 3.5 have no such tensor.
    """
    if _BUFFER.search(name):
        return None
    layer = _LAYER.fullmatch(name)
    if layer is None:
        return _OUTSIDE[name]
    return f"model.layers.{layer[1]}.{_IN_LAYER[layer[2]]}"


def llama_model(name: str, report: Callable[[str], None] | None = None) -> str:
    """The folder of a copy in Llama's layout of a model that is in EXAONE's, or its name as it is.

    The copy is made once, in the cache folder; a checkpoint of the Hub is fetched first.

    >>> llama_model("gpt2")
    'gpt2'

    Args:
        name: Name on the Hub, or a folder.
        report: Called with a sentence before anything that takes long.

    Raises:
        InputError: The checkpoint is broken.
        GenerationError: The Hub does not have it or does not answer, or a shard cannot be read.
        MissingExtraError: The ``local`` extra, or for the Hub the ``hub`` extra, is not installed.
    """
    folder = Path(name)
    if not folder.is_dir():
        if "exaone" not in name.lower() or not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            return name
        folder = fetch(name, ["config.json"], None, what="a model")
        if not is_exaone3(folder):
            return name
        folder = fetch(name, _FETCHED, report, what="a model")
    elif not is_exaone3(folder):
        return name
    last = Path(name).resolve().name if Path(name).is_dir() else name.rpartition("/")[2]
    last = last if last.upper().startswith("EXAONE") else f"EXAONE-{last}"
    target = cache_folder() / "exaone" / f"{last}-llama-{weights(str(folder))['weights']}"
    if not target.is_dir():
        if report is not None:
            report(f"Copying {name} into Llama's layout (once), to {target}")
        target.parent.mkdir(parents=True, exist_ok=True)
        convert_exaone(folder, target, report=report)
    return str(target)


def llama_adapter(adapter: Adapter) -> Adapter:
    """An adapter for a model in Llama's layout.

    One that was trained on EXAONE's own layout is copied once, into the cache folder, with other
    names; all others are given back as they are.

    Raises:
        InputError: A file is missing or broken.
        MissingExtraError: The ``local`` extra is not installed.
    """
    path = adapter.folder / ADAPTER_FILE
    names = {name: _llama_factor(name) for name in read_tensors(path)}
    if None in names.values():
        return adapter
    from safetensors.torch import load_file, save_file

    digest = weights(str(adapter.folder))["weights"]
    target = cache_folder() / "exaone" / f"{adapter.folder.name}-adapter-{digest}"
    if not target.is_dir():
        config = read_object(adapter.folder / CONFIG_FILE, "an adapter's configuration")
        # Names on its list that matched nothing in EXAONE may match a layer of Llama.
        config["target_modules"] = sorted(
            {str(name).rpartition(".lora_")[0].rpartition(".")[2] for name in names.values()}
        )
        for key in ("rank_pattern", "alpha_pattern"):
            config[key] = {_renamed(name): value for name, value in (config.get(key) or {}).items()}
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adapter-", dir=target.parent) as folder:
            copy = Path(folder) / target.name
            copy.mkdir()
            tensors = {str(names[name]): tensor for name, tensor in load_file(path).items()}
            save_file(tensors, copy / ADAPTER_FILE, metadata={"format": "pt"})
            _write_json(copy / CONFIG_FILE, config)
            if (adapter.folder / RECIPE_FILE).is_file():
                shutil.copyfile(adapter.folder / RECIPE_FILE, copy / RECIPE_FILE)
            copy.replace(target)
    return replace(adapter, folder=target)


def _llama_factor(name: str) -> str | None:
    """Llama's name of a factor of an adapter; ``None`` if it is not one of EXAONE's layers."""
    match = _FACTOR.fullmatch(name)
    try:
        layer = None if match is None else llama_name(f"{match['layer']}.weight")
    except KeyError:
        layer = None
    if match is None or layer is None:
        return None
    return f"{match['prefix']}{layer.removesuffix('.weight')}{match['factor']}"


def _renamed(pattern: str) -> str:
    """A layer's name, or the end of one, with Llama's names."""
    for name, other in _IN_LAYER.items():
        ours, theirs = (full.removesuffix(".weight") for full in (name, other))
        if pattern == ours or pattern.endswith(f".{ours}"):
            return f"{pattern.removesuffix(ours)}{theirs}".replace(
                "transformer.h.", "model.layers."
            )
        if pattern == ours.rpartition(".")[2]:
            return theirs.rpartition(".")[2]
    return pattern


def convert_exaone(
    source: Path, target: Path, *, report: Callable[[str], None] | None = None
) -> int:
    """Write a copy of an EXAONE 3.0 or 3.5 checkpoint in Llama's layout.

    One shard is in memory at a time. The copy appears complete or not at all. Tokenizer, chat
    template, end-of-turn token and licence are copied; the model's code is not.

    >>> convert_exaone(Path("EXAONE-3.5-2.4B"), Path("EXAONE-3.5-2.4B-llama"))  # doctest: +SKIP
    272

    Args:
        source: Folder of the checkpoint, with ``config.json`` and safetensors.
        target: Folder to write; it must not exist. The licence requires that its name begin with
            ``EXAONE``.
        report: Called with a sentence about each shard.

    Returns:
        The number of tensors.

    Raises:
        InputError: The source is not such a checkpoint, has too many or too few tensors, or the
            target exists.
        MissingExtraError: The ``local`` extra is not installed.
        GenerationError: A shard cannot be read.
    """
    if not is_exaone3(source):
        raise InputError(
            "holds no EXAONE 3.0 or 3.5 checkpoint",
            path=source,
            hint='its config.json must say model_type "exaone"; EXAONE 4 loads as it is',
        )
    if target.exists():
        raise InputError("already exists", path=target, hint="name a new folder")
    if not target.parent.is_dir():
        raise InputError("its folder does not exist", path=target, hint="make it first")
    if not target.name.upper().startswith("EXAONE"):
        raise InputError(
            f"a derived model may not be called {target.name!r}",
            path=target,
            hint='EXAONE\'s licence requires a name that begins with "EXAONE"',
        )
    config = read_object(source / "config.json", "a model's configuration")
    shards = _shards(source)
    with tempfile.TemporaryDirectory(prefix=".exaone-", dir=target.parent) as folder:
        copy = Path(folder) / target.name
        copy.mkdir()
        names = _rename_shards(source, shards, copy, report)
        _check_complete(source, names, config)
        _write_json(copy / "config.json", _llama_config(source, config))
        for file in sorted(source.iterdir()):
            if file.is_file() and _COPIED.fullmatch(file.name):
                _copy(file, copy / file.name)
        if not (copy / "generation_config.json").exists():
            ends = {
                key: config[key]
                for key in ("bos_token_id", "eos_token_id", "pad_token_id")
                if key in config
            }
            _write_json(copy / "generation_config.json", ends)
        copy.replace(target)
    return len(names)


def _shards(source: Path) -> list[str]:
    """Names of the weight files, in the index's order."""
    index = source / _INDEX
    if index.exists():
        weights = read_object(index, "an index of safetensors").get("weight_map")
        if not isinstance(weights, dict) or not weights:
            raise InputError(
                "is not an index of safetensors", path=index, hint="expected 'weight_map'"
            )
        return list(dict.fromkeys(map(str, weights.values())))
    if (source / "model.safetensors").exists():
        return ["model.safetensors"]
    raise InputError(
        "holds no safetensors",
        path=source,
        hint="pickled weights (.bin) are not read; save them as safetensors",
    )


def _rename_shards(
    source: Path, shards: list[str], copy: Path, report: Callable[[str], None] | None
) -> dict[str, str]:
    """Write every shard with Llama's names. Returns the shard of each tensor."""
    try:
        from safetensors import SafetensorError, safe_open
        from safetensors.torch import save_file
    except ImportError:
        raise MissingExtraError("local", "converting a checkpoint") from None
    names: dict[str, str] = {}
    size = 0
    for number, shard in enumerate(shards, 1):
        if report is not None:
            report(f"Shard {number} of {len(shards)}: {shard}")
        if Path(shard).name != shard or not (source / shard).is_file():
            raise InputError("a shard of the index is missing", path=source / shard)
        tensors = {}
        try:
            with safe_open(source / shard, framework="pt") as stream:
                for name in stream.keys():  # noqa: SIM118 - it is no mapping
                    try:
                        renamed = llama_name(name)
                    except KeyError:
                        raise InputError(
                            f"EXAONE 3.0 and 3.5 have no tensor {one_line(name, 120)!r}",
                            path=source / shard,
                        ) from None
                    if renamed is not None:
                        tensors[renamed] = stream.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise GenerationError(f"{source / shard} cannot be read: {one_line(error)}") from None
        save_file(tensors, copy / shard, metadata={"format": "pt"})
        names.update(dict.fromkeys(tensors, shard))
        size += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if shards != ["model.safetensors"]:
        _write_json(
            copy / _INDEX,
            {"metadata": {"total_size": size}, "weight_map": dict(sorted(names.items()))},
        )
    return names


def _check_complete(source: Path, names: Iterable[str], config: dict[str, Any]) -> None:
    """Make sure that Llama's tensors are all there: missing ones would be random."""
    layers = config.get("num_layers", config.get("num_hidden_layers"))
    names = list(names)
    if not isinstance(layers, int) or layers > len(names):
        raise InputError(
            "'num_layers' is missing, or larger than the number of tensors",
            path=source / "config.json",
        )
    expected = {f"model.layers.{n}.{name}" for n in range(layers) for name in _IN_LAYER.values()}
    expected |= {name for name in _OUTSIDE.values() if name != "lm_head.weight"}
    if not config.get("tie_word_embeddings"):
        expected.add("lm_head.weight")
    missing = sorted(expected - set(names))
    surplus = sorted(set(names) - expected - {"lm_head.weight"})
    if missing or surplus:
        problem = (
            f"lacks {missing[0]!r}"
            if missing
            else f"has {surplus[0]!r}, which a model of {layers} layers does not"
        )
        raise InputError(
            f"the checkpoint {problem} ({len(missing)} missing, {len(surplus)} too many)",
            path=source,
        )


def _llama_config(source: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with Llama's names. Rope scaling and special tokens stay as they are."""

    def value_of(*names: str) -> Any:
        for name in names:
            if config.get(name) is not None:
                return config[name]
        raise InputError(f"has no {names[0]!r}", path=source / "config.json")

    heads, hidden = value_of("num_attention_heads"), value_of("hidden_size")
    if not all(isinstance(value, int) and value > 0 for value in (heads, hidden)):
        raise InputError(
            "'num_attention_heads' and 'hidden_size' must be positive whole numbers",
            path=source / "config.json",
        )
    unchanged = (
        "rope_scaling", "bos_token_id", "eos_token_id", "pad_token_id", "initializer_range",
        "attention_dropout", "tie_word_embeddings", "torch_dtype", "dtype", "use_cache",
    )  # fmt: skip
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": value_of("vocab_size"),
        "hidden_size": hidden,
        "intermediate_size": value_of("intermediate_size"),
        "num_hidden_layers": value_of("num_layers", "num_hidden_layers"),
        "num_attention_heads": heads,
        "num_key_value_heads": config.get("num_key_value_heads") or heads,
        "head_dim": config.get("head_dim") or hidden // heads,
        "hidden_act": config.get("activation_function", "silu"),
        "rms_norm_eps": value_of("layer_norm_epsilon"),
        "rope_theta": config.get("rope_theta", 10000.0),
        "max_position_embeddings": value_of("max_position_embeddings"),
        "attention_bias": False,
        "mlp_bias": False,
        **{key: config[key] for key in unchanged if key in config},
    }


def _copy(file: Path, target: Path) -> None:
    """Copy a file, without a tokenizer configuration's reference to the model's code."""
    if file.name != "tokenizer_config.json":
        shutil.copyfile(file, target)
        return
    config = read_object(file, "a tokenizer's configuration")
    config.pop("auto_map", None)
    _write_json(target, config)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
