"""Language models as GGUF, for llama.cpp and what is built on it: Ollama, LM Studio, ...

The file format, the names of tensors and the arithmetic of quantisation are gguf's. llama.cpp's own
converter is no package; what it knows of each architecture and tokenizer is in its documentation,
and the part of it that is needed here is told below, per architecture.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from llmner._mishaps import one_line
from llmner.errors import InputError, MissingExtraError

__all__ = ["Quantization", "write_gguf"]

Quantization = Literal["q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "bf16", "f16", "f32"]
"""The type of a GGUF's matrices. All others of its tensors are in float32."""

QUANTIZATIONS: tuple[Quantization, ...] = get_args(Quantization)

# Kinds of tokens, as llama.cpp numbers them.
_NORMAL, _UNKNOWN, _CONTROL, _USER, _UNUSED, _BYTE = range(1, 7)
_BYTE_TOKEN = re.compile("<0x[0-9A-F]{2}>")
_DIGITS_APART = "exaone"
# How llama.cpp names the ways to cut a text before byte-level BPE, by the pattern of the cut.
_LETTERS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
_REST = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
_CUTS = {_LETTERS + "\\p{N}{1,3}" + _REST: "llama-bpe", _LETTERS + "\\p{N}" + _REST: "qwen2"}

Tensor = NDArray[np.float32]


def _as_it_is(name: str, tensor: Tensor, config: Any) -> Tensor:
    return tensor


def _halves_apart(name: str, tensor: Tensor, config: Any) -> Tensor:
    """Rotary embeddings turn neighbours in llama.cpp, and the two halves of a head here."""
    if not re.search(r"self_attn\.[qk]_proj\.", name):
        return tensor
    query = ".q_proj." in name
    heads = config.num_attention_heads if query else config.num_key_value_heads
    apart = tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:])
    return apart.swapaxes(1, 2).reshape(tensor.shape)


def _one_added(name: str, tensor: Tensor, config: Any) -> Tensor:
    """Gemma's norms hold what is added to one."""
    return tensor + 1 if name.endswith("norm.weight") else tensor


@dataclass(frozen=True, slots=True)
class _Architecture:
    """What is particular about an architecture.

    Attributes:
        name: llama.cpp's name of it.
        tensor: Makes llama.cpp's tensor of one of transformers.
    """

    name: str
    tensor: Callable[[str, Tensor, Any], Tensor] = _as_it_is


_ARCHITECTURES = {
    "llama": _Architecture("llama", _halves_apart),
    "mistral": _Architecture("llama", _halves_apart),
    "gemma3_text": _Architecture("gemma3", _one_added),
    "qwen2": _Architecture("qwen2"),
    "qwen3": _Architecture("qwen3"),
}
"""By the ``model_type`` of transformers."""


def check_architecture(config: Any) -> None:
    """Make sure that a model can be written, before it is loaded.

    Args:
        config: Its configuration.

    Raises:
        InputError: It cannot.
        MissingExtraError: gguf is not installed.
    """
    try:
        import gguf  # noqa: F401
    except ImportError:
        raise MissingExtraError("local", "writing GGUF") from None
    kind = str(config.model_type)
    if kind not in _ARCHITECTURES:
        raise InputError(
            f"models of type {one_line(kind, 40)!r} are not written as GGUF here",
            hint=f"expected one of {', '.join(_ARCHITECTURES)}; llama.cpp's converter takes what "
            "export --to bfloat16 writes",
        )


def write_gguf(
    model: Any,
    tokenizer: Any,
    path: Path,
    *,
    name: str,
    quantization: Quantization = "q8_0",
    chat_template: str | None = None,
) -> None:
    """Write a language model and its tokenizer into one file.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its tokenizer, a fast one.
        path: The file.
        name: What the file calls the model.
        quantization: The type of its matrices. A matrix whose rows do not divide into blocks of 32
            is written in float16.
        chat_template: How a conversation is rendered, where the tokenizer does not say it. Without
            any, llama.cpp would take one that the model was not trained with.

    Raises:
        InputError: The architecture or the tokenizer is not one that is written here.
        MissingExtraError: gguf is not installed.
    """
    config = model.config.get_text_config()
    check_architecture(config)
    import gguf

    architecture = _ARCHITECTURES[str(config.model_type)]
    writer = gguf.GGUFWriter(path, architecture.name)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    _add_shape(writer, config)
    _add_tokenizer(writer, tokenizer, config.vocab_size)
    if template := tokenizer.chat_template or chat_template:
        writer.add_chat_template(template)
    file_types = {"f32": "ALL_F32", "f16": "MOSTLY_F16"}
    file_type = file_types.get(quantization, f"MOSTLY_{quantization.upper()}")
    writer.add_file_type(gguf.LlamaFileType[file_type])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for tensor_name, tensor, kind in _tensors(model, config, architecture, quantization):
        data = gguf.quants.quantize(tensor, kind)
        raw = (
            None if kind in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16) else kind
        )
        writer.add_tensor(tensor_name, data, raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def relative_error(model: Any, path: Path) -> float:
    """How far the matrices of a file are from those of the model that it was written from.

    Every tensor is read back. Those that are not quantised must be the same.

    Args:
        model: The model.
        path: The file.

    Returns:
        The root of the mean square of the differences, by that of the values.

    Raises:
        InputError: The file lacks a tensor, or one differs.
    """
    import gguf

    config = model.config.get_text_config()
    read = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    error = total = 0.0
    for name, tensor, kind in _tensors(
        model, config, _ARCHITECTURES[str(config.model_type)], "f32"
    ):
        found = read.pop(name, None)
        if found is None:
            raise InputError(f"was not written whole: {name} is missing", path=path)
        values = gguf.quants.dequantize(found.data, found.tensor_type).reshape(tensor.shape)
        differences = float(np.square(values - tensor, dtype=np.float64).sum())
        if found.tensor_type == kind and differences:
            raise InputError(f"was not written right: {name} differs", path=path)
        if tensor.ndim > 1:
            error += differences
            total += float(np.square(tensor, dtype=np.float64).sum())
    return float((error / total) ** 0.5)


def _tensors(
    model: Any, config: Any, architecture: _Architecture, quantization: Quantization
) -> Iterator[tuple[str, Tensor, Any]]:
    """The name, the values and the type of each tensor.

    Raises:
        InputError: The model has a tensor that its architecture does not know.
    """
    import gguf

    kinds = gguf.GGMLQuantizationType
    known = gguf.get_tensor_name_map(_arch(architecture.name), config.num_hidden_layers)
    tied = bool(getattr(config, "tie_word_embeddings", False))
    factors = _rope_factors(config)
    if factors is not None:
        yield "rope_freqs.weight", factors, kinds.F32
    for name, weights in model.state_dict().items():
        if tied and name == "lm_head.weight":
            continue
        target = known.get_name(name, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise InputError(f"the tensor {one_line(name, 80)!r} has no place in a GGUF")
        tensor = architecture.tensor(name, weights.float().cpu().numpy(), config)
        kind = kinds[quantization.upper()] if tensor.ndim > 1 else kinds.F32
        block, _ = gguf.GGML_QUANT_SIZES[kind]
        if tensor.shape[-1] % block:
            kind = kinds.F16
        yield target, np.ascontiguousarray(tensor), kind


def _arch(name: str) -> Any:
    import gguf

    return next(number for number, own in gguf.MODEL_ARCH_NAMES.items() if own == name)


def _add_shape(writer: Any, config: Any) -> None:
    """Sizes, and what else a model's arithmetic depends on."""
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float(_rope(config)["rope_theta"]))
    if config.model_type == "gemma3_text":
        writer.add_sliding_window(config.sliding_window)


def _rope(config: Any) -> Mapping[str, Any]:
    """The rotary embeddings' parameters; those of full attention, where there are two kinds."""
    own: Mapping[str, Any] = getattr(config, "rope_parameters", None) or {}
    own = own.get("full_attention", own)
    kind = own.get("rope_type", "default")
    if kind not in ("default", "llama3"):
        raise InputError(
            f"rotary embeddings of type {one_line(kind, 40)!r} are not written as GGUF"
        )
    return {"rope_theta": 10_000.0, **own}


def _rope_factors(config: Any) -> Tensor | None:
    """By what Llama 3.1's scaling divides each frequency; ``None`` where nothing is scaled.

    Long waves are stretched by a factor, short ones are left, and those between are in between
    (https://arxiv.org/abs/2407.21783, section 3.4.2, as transformers computes it).
    """
    rope = _rope(config)
    if rope.get("rope_type", "default") != "llama3":
        return None
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    factor, low, high = (rope[f] for f in ("factor", "low_freq_factor", "high_freq_factor"))
    context = rope["original_max_position_embeddings"]
    frequencies = rope["rope_theta"] ** -(np.arange(0, head, 2) / head)
    waves = context * frequencies / (2 * math.pi)
    smooth = np.clip((waves - low) / (high - low), 0, 1)
    factors = 1 / ((1 - smooth) / factor + smooth)
    return np.asarray(factors, np.float32)


def _add_tokenizer(writer: Any, tokenizer: Any, size: int) -> None:
    """The vocabulary, and how texts are cut into it.

    Args:
        writer: Gets it.
        tokenizer: A fast tokenizer.
        size: How many tokens the model has, which may be more than the tokenizer's.

    Raises:
        InputError: Its way to cut texts is not known here.
    """
    if not tokenizer.is_fast:
        raise InputError("its tokenizer is a slow one, which is not written as GGUF")
    fields = json.loads(tokenizer.backend_tokenizer.to_str())
    model = fields["model"]
    if model.get("type") != "BPE":
        raise InputError(f"tokenizers of type {model.get('type')!r} are not written as GGUF")
    names = {number: name for name, number in tokenizer.get_vocab().items()}
    tokens = [names.get(number, f"[PAD{number}]") for number in range(size)]
    added = {token["id"]: token for token in fields.get("added_tokens", ())}
    kinds = [
        _kind(name, number in names, added.get(number), tokenizer.unk_token)
        for number, name in enumerate(tokens)
    ]
    merges = [
        merge if isinstance(merge, str) else " ".join(merge) for merge in model.get("merges", ())
    ]
    if model.get("byte_fallback"):
        # As SentencePiece has it: of two tokens that could be joined, those of the higher score.
        ranks: dict[str, int] = {}
        for number, merge in enumerate(merges):
            ranks.setdefault(merge.replace(" ", "", 1), number)
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_scores([-float(ranks.get(name, 0)) for name in tokens])
        writer.add_add_space_prefix(_adds_space(fields))
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(_cut(fields.get("pre_tokenizer")))
        writer.add_token_merges(merges)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    for name in ("bos", "eos", "unk", "pad"):
        number = getattr(tokenizer, f"{name}_token_id")
        if number is not None:
            getattr(writer, f"add_{name}_token_id")(number)
    begins = tokenizer("가").input_ids[:1] == [tokenizer.bos_token_id]
    writer.add_add_bos_token(begins)
    writer.add_add_eos_token(False)


def _kind(name: str, known: bool, added: Mapping[str, Any] | None, unknown: str | None) -> int:
    if not known:
        return _UNUSED
    if name == unknown:
        return _UNKNOWN
    if added is not None:
        return _CONTROL if added.get("special") else _USER
    return _BYTE if _BYTE_TOKEN.fullmatch(name) else _NORMAL


def _adds_space(fields: Mapping[str, Any]) -> bool:
    """Whether a space is put before a text."""
    told = json.dumps([fields.get("normalizer"), fields.get("pre_tokenizer")])
    return '"Prepend"' in told or '"prepend_scheme": "always"' in told


def _cut(fields: Mapping[str, Any] | None) -> str:
    """llama.cpp's name of the way in which a text is cut before BPE.

    Raises:
        InputError: It is not known here.
    """
    parts = (fields or {}).get("pretokenizers", [fields or {}])
    kinds = [part.get("type") for part in parts]
    if kinds == ["ByteLevel"]:
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and parts[0].get("individual_digits"):
        return _DIGITS_APART
    if kinds == ["Split", "ByteLevel"]:
        pattern = parts[0]["pattern"].get("Regex", "")
        if pattern in _CUTS:
            return _CUTS[pattern]
    raise InputError(
        "the way in which its tokenizer cuts texts is not known here",
        hint="llama.cpp's converter takes what export --to bfloat16 writes",
    )
