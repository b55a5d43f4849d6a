"""What memory a training run takes, worked out from the model's shape before anything is
downloaded.

Sums of what PyTorch keeps, each with its source; the tests hold them against what real runs kept.
It knows neither weights nor data: rows are taken to be as long as ``max_length`` allows.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from llmner.errors import InputError
from llmner.training._config import TrainingConfig
from llmner.training._shape import Shape, shape_of

__all__ = ["GIB", "Kind", "MemoryEstimate", "Shape", "estimate", "shape_of"]

GIB = 2**30
"""Bytes."""

Kind = Literal["cuda", "cpu"]

# trl/kernels/chunked_logprob.py and trl/trainer/utils.py: tokens and words of a tile of logits.
_TILE_TOKENS, _TILE_WORDS = 4096, 32768
# training/_cpu_head.py: tokens whose logits exist at once.
_CPU_TOKENS = 512
# EXAONE 3's own names for Llama's layers, where it runs with code of its own.
_ALIASES = {"out_proj": "o_proj", "c_fc_0": "gate_proj", "c_fc_1": "up_proj", "c_proj": "down_proj"}
# CUDA's context and the libraries' kernels, or Python with the libraries; resident, in GiB.
_OVERHEAD = 0.75


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Memory of a run, in bytes.

    Attributes:
        device: What it was worked out for: "cuda" or "cpu".
        weights: The base model's.
        adapter: The adapter's.
        gradients: The adapter's gradients.
        optimizer: The optimiser's state.
        activations: What the forward pass keeps for the backward pass, for a full batch of the
            longest rows.
        workspace: What comes and goes while the backward pass is in one layer.
        logits: What the loss takes while it is computed.
        answering: What answering the held-out sentences takes, instead of gradients, activations
            and loss.
        overhead: CUDA's context or Python itself, the libraries, and gaps between what is
            allocated.
    """

    device: Kind
    weights: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    workspace: int
    logits: int
    answering: int
    overhead: int

    @property
    def training(self) -> int:
        """The highest while it learns, in bytes: the loss is done before the first layer's turn
        comes.
        """
        passing = self.gradients + self.activations + max(self.workspace, self.logits)
        return self._lasting + passing

    @property
    def evaluating(self) -> int:
        """The highest while it answers held-out sentences, in bytes."""
        return self._lasting + self.answering

    @property
    def total(self) -> int:
        """The highest of the run, in bytes."""
        return max(self.training, self.evaluating)

    @property
    def _lasting(self) -> int:
        return self.weights + self.adapter + self.optimizer + self.overhead

    def gib(self) -> dict[str, float]:
        """All parts and sums by name, in GiB (2^30 bytes)."""
        parts = {
            name: value for name, value in dataclasses.asdict(self).items() if name != "device"
        }
        sums = {"training": self.training, "evaluating": self.evaluating, "total": self.total}
        return {name: round(value / GIB, 3) for name, value in {**parts, **sums}.items()}


def estimate(
    config: TrainingConfig,
    shape: Shape | None = None,
    *,
    device: Kind = "cuda",
    float32: bool = False,
) -> MemoryEstimate:
    """What a run takes on each of its devices.

    Args:
        config: The run's configuration.
        shape: The model's shape; ``None`` to look it up.
        device: Where it runs. Loss and dropout are computed differently on a CPU.
        float32: Whether the model computes in float32, as on a CPU without bfloat16
            (``_processor``). What it keeps is then estimated from above: twice what bfloat16 would
            take, though some of that is float32 in both. In 4 bits it never does.

    Raises:
        InputError: The model's shape is not known, or ``lora_targets`` names a layer that it does
            not have.
    """
    shape = shape_of(config.model.model) if shape is None else shape
    factors = _factors(config, shape)
    adapter, width = sum(factors) * shape.layers, _adapter_bytes(config)
    logits = _logits(config, shape, device)
    activations = _activations(config, shape, device)
    workspace = _workspace(config, shape, device)
    times = 2 if float32 and config.model.quantization == "none" else 1
    activations, workspace = times * activations, times * workspace
    if times == 2:
        logits += 4 * _tokens(config) * shape.width
    # What is allocated and freed in ever new sizes leaves gaps; a twentieth is taken to be lost.
    gaps = (activations + max(workspace, logits)) // 20
    return MemoryEstimate(
        device=device,
        weights=times * _weights(config, shape),
        adapter=adapter * width,
        gradients=adapter * width,
        optimizer=sum(_state(config, count) for count in factors) * shape.layers,
        activations=activations,
        workspace=workspace,
        logits=logits,
        answering=times * _answering(config, shape),
        overhead=round(_OVERHEAD * GIB) + gaps,
    )


def _targets(config: TrainingConfig, shape: Shape) -> dict[str, tuple[int, int]]:
    """The linear layers of a decoder layer that get an adapter."""
    wanted = config.lora.lora_targets
    linears = shape.linears
    if wanted == "all-linear":
        return linears
    names = [_ALIASES.get(name, name) for name in ([wanted] if isinstance(wanted, str) else wanted)]
    for name in names:
        if name not in linears:
            raise InputError(
                f"lora_targets: {name} is none of {', '.join(linears)}",
                hint='"all-linear" takes them all',
            )
    return {name: linears[name] for name in linears if name in names}


def _factors(config: TrainingConfig, shape: Shape) -> list[int]:
    """Numbers in each of a decoder layer's low-rank factors: rank times input, and output times
    rank.
    """
    return [
        config.lora.lora_rank * size for pair in _targets(config, shape).values() for size in pair
    ]


def _adapter_bytes(config: TrainingConfig) -> int:
    """Bytes of one of the adapter's numbers.

    PEFT makes adapters float32 (``autocast_adapter_dtype``); trl's trainer turns those of a
    quantised model to bfloat16, as QLoRA had them. Gradients and PyTorch's optimisers' states
    follow.
    """
    return 2 if config.model.quantization == "4bit" else 4


def _weights(config: TrainingConfig, shape: Shape) -> int:
    """bfloat16, but for linear layers in 4 bits.

    Those take half a byte a number; a byte for the scale of every 64; four for the scale of every
    256 scales (double quantisation, QLoRA, section 3); and bitsandbytes' two tables and an offset,
    1,092 bytes a layer.
    """
    parameters = shape.parameters
    rest = 2 * (parameters.embedding + parameters.norm)
    if config.model.quantization != "4bit":
        return rest + 2 * parameters.linear
    sizes = [inner * outer for inner, outer in shape.linears.values()]
    one = sum(size // 2 + size // 64 + 4 * -(-size // (64 * 256)) + 1092 for size in sizes)
    return rest + shape.layers * one


def _state(config: TrainingConfig, count: int) -> int:
    """The optimiser's state for a factor of so many numbers, in bytes.

    PyTorch's keep their two moments in the factor's own type. bitsandbytes' keep a byte each and a
    float32 scale for every 256, but float32 for fewer than 4,096 numbers, and where the name says
    32bit. Paged ones are counted in full: they leave the GPU only when it is short of memory.
    """
    name = config.optim.optimizer
    moments = 0 if name == "sgd" else 1 if "lion" in name or "rmsprop" in name else 2
    if "8bit" in name and count >= 4096:
        return moments * (count + 4 * -(-count // 256))
    return moments * count * (4 if "bit" in name else _adapter_bytes(config))


def _span(config: TrainingConfig) -> int:
    """Tokens that attention looks over: packed rows of a batch are laid end to end."""
    packed = config.optim.batching == "packing"
    return config.data.max_length * (config.optim.batch_size if packed else 1)


def _tokens(config: TrainingConfig) -> int:
    return config.optim.batch_size * config.data.max_length


def _attention(config: TrainingConfig, shape: Shape, span: int, *, alone: bool) -> int:
    """Bytes a token that attention keeps.

    Queries, keys, values, output and a float32 normaliser a head: no matrix of tokens by tokens. A
    mask (padding, packing) makes transformers repeat keys and values for every head and keeps a row
    of itself in bfloat16 (``integrations/sdpa_attention.py``); flash attention needs none.
    ``eager`` keeps the matrix, in float32 and in bfloat16.

    Args:
        config: The run's configuration.
        shape: The model's shape.
        span: Tokens that are looked over.
        alone: A single row, which has no padding.
    """
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    name = config.model.attention or "sdpa"
    if name == "eager":
        return 8 * queries + 6 * shape.heads * span
    masked = "flash" not in name and not alone
    return (
        4 * queries
        + 4 * (queries if masked else keys)
        + 4 * shape.heads
        + (2 * span if masked else 0)
    )


def _layer(config: TrainingConfig, shape: Shape, device: Kind) -> int:
    """Bytes a token that a decoder layer keeps for its backward pass.

    Frozen linear layers keep nothing. Kept are the float32 input of each normalisation; what
    attention keeps; gate, activation and up of the feed-forward part; and, for each layer with an
    adapter, the adapter's bfloat16 input and its product with the first factor. That input is one
    that others keep or share, unless dropout or the cast from a float32 adapter make a copy.
    Dropout keeps its mask: a byte a number on CUDA, the numbers themselves on a CPU.
    """
    wide, inner = shape.width, shape.intermediate
    heads = (shape.heads + shape.kv_heads) * (shape.head_dim + 1) if shape.head_norms else 0
    packed = config.optim.batching == "packing"
    kept = 4 * (shape.norms * (wide + 1) + heads)
    kept += _attention(
        config, shape, _span(config), alone=config.optim.batch_size == 1 and not packed
    )
    kept += (6 if shape.gated else 4) * inner
    targets = _targets(config, shape)
    kept += 2 * config.lora.lora_rank * len(targets)
    copied = config.lora.lora_dropout > 0 or _adapter_bytes(config) == 4
    if copied:
        inputs = sum(size for size, _ in targets.values())
    else:
        # Shared by queries, keys and values, and by gate and up; attention keeps its output anyway.
        groups = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
        inputs = sum(wide for group in groups if targets.keys() & set(group))
        inputs += inner if "down_proj" in targets else 0
    mask = 0
    if config.lora.lora_dropout > 0:
        mask = 1 if device == "cuda" else _adapter_bytes(config)
        mask *= sum(size for size, _ in targets.values())
    return kept + 2 * inputs + mask


def _activations(config: TrainingConfig, shape: Shape, device: Kind) -> int:
    """All layers' and the last normalisation's; with gradient checkpointing each layer's input
    alone.
    """
    one = 2 * shape.width if config.model.gradient_checkpointing else _layer(config, shape, device)
    return _tokens(config) * (shape.layers * one + 4 * (shape.width + 1))


def _workspace(config: TrainingConfig, shape: Shape, device: Kind) -> int:
    """What comes and goes in one layer's backward pass.

    With gradient checkpointing, all that the layer keeps. Then two gradients of the feed-forward
    part, the widest there is, and one of the hidden state; for a float32 adapter, copies of its
    input and gradient in its type, and again for dropout. In 4 bits, the largest weight as bfloat16
    (``MatMul4Bit.backward`` of bitsandbytes).
    """
    if _adapter_bytes(config) == 2:
        one = 4 * shape.intermediate + 2 * shape.width
    else:
        one = (10 if config.lora.lora_dropout > 0 else 6) * shape.intermediate + 8 * shape.width
    if config.model.gradient_checkpointing:
        one += _layer(config, shape, device)
    return _tokens(config) * one + _largest(config, shape)


def _largest(config: TrainingConfig, shape: Shape) -> int:
    if config.model.quantization != "4bit":
        return 0
    return 2 * max(inner * outer for inner, outer in shape.linears.values())


def _logits(config: TrainingConfig, shape: Shape, device: Kind) -> int:
    """The loss, if every token is learnt.

    On CUDA trl's fused head has a tile of 4,096 tokens by 32,768 words in bfloat16, gives the
    hidden states' gradient in float32 and casts it (``trl/kernels/chunked_logprob.py``). On a CPU
    ours has 512 tokens by all words, three times in float32 and once in bfloat16; it gives the
    gradient in bfloat16.
    """
    tokens = _tokens(config)
    if device == "cuda":
        return 2 * min(tokens, _TILE_TOKENS) * _TILE_WORDS + tokens * shape.width * (2 + 4 + 2)
    return 14 * min(tokens, _CPU_TOKENS) * shape.vocabulary + tokens * shape.width * (2 + 2)


def _answering(config: TrainingConfig, shape: Shape) -> int:
    """Keys and values of a batch of sentences, and either reading the questions or writing the
    answers.

    Questions are taken to be as long as ``max_length``. While they are read, a layer holds what its
    feed-forward part takes; the logits are those of the last tokens alone, in bfloat16 and twice in
    float32.
    """
    evaluation, length = config.evaluation, config.data.max_length
    if config.data.held_out == 0:
        return 0
    rows = min(evaluation.eval_batch_size, evaluation.eval_sentences or evaluation.eval_batch_size)
    cache = rows * shape.layers * 4 * shape.kv_heads * shape.head_dim
    copies = 6 if _adapter_bytes(config) == 2 else 8
    one = (
        copies * shape.intermediate
        + 10 * shape.width
        + _attention(config, shape, length, alone=rows == 1)
    )
    reading = cache * length + rows * length * one
    writing = cache * (length + evaluation.max_new_tokens)
    return max(reading, writing) + 10 * rows * shape.vocabulary + _largest(config, shape)
