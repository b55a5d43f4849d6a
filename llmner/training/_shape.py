"""The sizes of a causal language model, from its ``config.json`` or from a short list.

``_memory`` computes from them what a run needs. Nothing is downloaded here.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmner.engines.embedded import EMBEDDED_MODEL
from llmner.errors import InputError

__all__ = ["Parameters", "Shape", "shape_of"]


@dataclass(frozen=True, slots=True)
class Parameters:
    """How many parameters a model has, by the kind of layer.

    Attributes:
        linear: In the linear layers without the output head; these are quantised.
        embedding: In the embedding, and in the output head if it has weights of its own.
        norm: In the normalisations.
    """

    linear: int
    embedding: int
    norm: int

    @property
    def total(self) -> int:
        """All parameters. The few biases of some models are not counted."""
        return self.linear + self.embedding + self.norm


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a decoder such as Llama, EXAONE, Gemma 3 or Qwen.

    Attributes:
        name: The name it was looked up by.
        layers: Decoder layers.
        width: Size of a token's hidden state.
        intermediate: Size inside the feed-forward part.
        heads: Attention heads.
        kv_heads: Heads that keys and values have.
        head_dim: Size of a head.
        vocabulary: Tokens of the embedding.
        tied: Whether the output head is the embedding itself.
        gated: Whether the feed-forward part has a gate beside its up projection.
        norms: Normalisations of the hidden state in a layer.
        head_norms: Whether queries and keys are normalised too.
    """

    name: str
    layers: int
    width: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    gated: bool = True
    norms: int = 2
    head_norms: bool = False

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """The linear layers of a decoder layer by name, each as (input size, output size)."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        gate = {"gate_proj": (self.width, self.intermediate)} if self.gated else {}
        return {
            "q_proj": (self.width, queries),
            "k_proj": (self.width, keys),
            "v_proj": (self.width, keys),
            "o_proj": (queries, self.width),
            **gate,
            "up_proj": (self.width, self.intermediate),
            "down_proj": (self.intermediate, self.width),
        }

    @property
    def parameters(self) -> Parameters:
        """How many parameters the model has."""
        heads = 2 * self.head_dim if self.head_norms else 0
        return Parameters(
            linear=self.layers * sum(inner * outer for inner, outer in self.linears.values()),
            embedding=self.vocabulary * self.width * (1 if self.tied else 2),
            norm=self.layers * (self.norms * self.width + heads) + self.width,
        )


_EXAONE_8B = Shape("EXAONE-3.5-7.8B", 32, 4096, 14336, 32, 8, 128, 102400, tied=False)

# From the config.json on each model's page on the Hub.
_KNOWN = (
    dataclasses.replace(_EXAONE_8B, name="EXAONE-3.0-7.8B"),
    _EXAONE_8B,
    Shape("EXAONE-3.5-2.4B", 30, 2560, 7168, 32, 8, 80, 102400, tied=True),
    Shape("EXAONE-3.5-32B", 64, 5120, 27392, 40, 8, 128, 102400, tied=False),
    Shape("EXAONE-4.0-1.2B", 30, 2048, 4096, 32, 8, 64, 102400, tied=True, head_norms=True),
    Shape("EXAONE-4.0-32B", 64, 5120, 27392, 40, 8, 128, 102400, tied=False, head_norms=True),
    Shape(EMBEDDED_MODEL, 18, 640, 2048, 4, 1, 256, 262144, tied=True, norms=4, head_norms=True),
)

# Normalisations of a layer, and whether queries and keys are normalised, if not (2, False).
_NORMS = {
    "exaone4": (2, True),
    "gemma2": (4, False),
    "gemma3": (4, True),
    "gemma3_text": (4, True),
    "qwen3": (2, True),
}
_UNGATED = frozenset({"arcee", "nemotron"})
_TIED_BY_DEFAULT = ("exaone", "gemma")


def shape_of(model: str) -> Shape:
    """The sizes of a model, which need not be on this machine.

    If the model is a folder, its ``config.json`` is read. EXAONE 3.0, 3.5 and 4.0 and the embedded
    model are known by the beginning of their names, so ``EXAONE-3.5-7.8B-llama`` is known before it
    is written. For other models, a ``config.json`` in the Hugging Face cache is enough.

    >>> shape_of("EXAONE-3.5-7.8B-llama").parameters.total
    7818448896

    Args:
        model: Name on the Hub, a folder, or the embedded model's name.

    Raises:
        InputError: The name is not known, or the folder's ``config.json`` lacks a size.
    """
    folder = Path(model)
    if folder.is_dir():
        return _read(folder / "config.json", model)
    last_part = model.rstrip("/").rpartition("/")[2]
    for shape in _KNOWN:
        if re.match(re.escape(shape.name) + r"(?![\w.])", last_part, re.IGNORECASE):
            return dataclasses.replace(shape, name=model)
    cached = _cached(model)
    if cached is not None:
        return _read(cached, model)
    raise InputError(
        f"the size of {model} is not known without its config.json",
        hint=f"hf download {model} config.json fetches that file alone; or name the model's folder",
    )


def _cached(model: str) -> Path | None:
    """The model's ``config.json`` in the Hugging Face cache, if it is there."""
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return None
    try:
        path = try_to_load_from_cache(model, "config.json")
    except HFValidationError:
        return None
    return Path(path) if isinstance(path, str) else None


def _read(path: Path, name: str) -> Shape:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"the folder has no {path.name}", path=path.parent) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot be read ({error})", path=path) from None
    if not isinstance(config, dict):
        raise InputError("is not a model's configuration", path=path)
    # Models that also read images have the language model's sizes in a part of their own.
    config = config.get("text_config", config)
    kind = str(config.get("model_type", ""))
    if any(key in config for key in ("num_experts", "num_local_experts", "n_routed_experts")):
        raise InputError("a mixture of experts cannot be estimated", path=path)
    heads = _number(config, path, "num_attention_heads")
    width = _number(config, path, "hidden_size")
    head_dim = 256 if kind.startswith("gemma") else width // heads
    norms, head_norms = _NORMS.get(kind, (2, False))
    return Shape(
        name,
        layers=_number(config, path, "num_hidden_layers", "num_layers"),
        width=width,
        intermediate=_number(config, path, "intermediate_size"),
        heads=heads,
        kv_heads=_number(config, path, "num_key_value_heads", default=heads),
        head_dim=_number(config, path, "head_dim", default=head_dim),
        vocabulary=_number(config, path, "vocab_size"),
        tied=bool(
            config.get(
                "tie_word_embeddings", kind != "exaone4" and kind.startswith(_TIED_BY_DEFAULT)
            )
        ),
        gated=kind not in _UNGATED,
        norms=norms,
        head_norms=head_norms,
    )


def _number(config: dict[str, Any], path: Path, *names: str, default: int | None = None) -> int:
    """The first of these sizes that is in the configuration and not null."""
    value = next((config[name] for name in names if config.get(name) is not None), default)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise InputError(f"{names[0]} must be a whole number above 0, got {value!r}", path=path)
    return value
