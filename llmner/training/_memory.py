"""How much memory a training run takes, computed from the model's sizes before any download.

The estimate adds up what PyTorch keeps; each part names its source, and the tests compare the parts
with real runs. Weights and data are not read: every row counts as ``max_length`` tokens.
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
"""Bytes of a GiB."""

Kind = Literal["cuda", "cpu"]

# trl/kernels/chunked_logprob.py and trl/trainer/utils.py: size of a tile of logits, in tokens and
# in entries of the vocabulary.
_TILE_TOKENS, _TILE_WORDS = 4096, 32768
# training/_cpu_head.py: tokens whose logits are in memory at once.
_CPU_TOKENS = 512
# EXAONE 3's names for Llama's layers, if it runs with its own code.
_ALIASES = {"out_proj": "o_proj", "c_fc_0": "gate_proj", "c_fc_1": "up_proj", "c_proj": "down_proj"}
# CUDA's context and the libraries' kernels, or Python with the libraries, in GiB.
_OVERHEAD = 0.75


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Memory of a run, in bytes.

    >>> memory = estimate(TrainingConfig())
    >>> memory.total == max(memory.training, memory.evaluating)
    True

    Attributes:
        device: The kind of device: "cuda" or "cpu".
        weights: The weights of the base model.
        adapter: The weights of the adapter.
        gradients: The gradients of the adapter.
        optimizer: The optimiser's state.
        activations: What the forward pass keeps for the backward pass, for a full batch of the
            longest rows.
        workspace: What the backward pass of one layer needs for a while.
        logits: What the loss needs while it is computed.
        answering: What answering held-out sentences needs instead of gradients, activations and
            loss.
        overhead: CUDA's context or Python, the libraries, and gaps between allocations.
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
        """The peak while the model learns, in bytes.

        The loss is finished before the backward pass of the first layer begins.
        """
        temporary = self.gradients + self.activations + max(self.workspace, self.logits)
        return self._permanent + temporary

    @property
    def evaluating(self) -> int:
        """The peak while the model answers held-out sentences, in bytes."""
        return self._permanent + self.answering

    @property
    def total(self) -> int:
        """The peak of the run, in bytes."""
        return max(self.training, self.evaluating)

    @property
    def _permanent(self) -> int:
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
    """The memory that a run needs on each of its devices.

    >>> estimate(TrainingConfig()).gib()["weights"]
    0.499

    Args:
        config: The run's configuration.
        shape: The model's sizes; ``None`` to look them up.
        device: The kind of device. Loss and dropout are computed differently on a CPU.
        float32: Whether the model computes in float32, as on a CPU without bfloat16
            (``_processor``). The estimate is then an upper bound: twice that of bfloat16, though
            some parts are float32 in both. A model in 4 bits never computes in float32.

    Raises:
        InputError: The model's sizes are not known, or ``lora_targets`` names a layer that it does
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
    # Allocations of different sizes leave gaps; a twentieth is assumed to be lost.
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
    targets = config.lora.lora_targets
    linears = shape.linears
    if targets == "all-linear":
        return linears
    targets = [targets] if isinstance(targets, str) else targets
    names = [_ALIASES.get(name, name) for name in targets]
    for name in names:
        if name not in linears:
            raise InputError(
                f"lora_targets: {name} is not one of {', '.join(linears)}",
                hint='"all-linear" takes them all',
            )
    return {name: linears[name] for name in linears if name in names}


def _factors(config: TrainingConfig, shape: Shape) -> list[int]:
    """Parameters in each low-rank factor of a decoder layer: rank times input or output size."""
    return [
        config.lora.lora_rank * size for pair in _targets(config, shape).values() for size in pair
    ]


def _adapter_bytes(config: TrainingConfig) -> int:
    """Bytes of one parameter of the adapter.

    PEFT makes adapters float32 (``autocast_adapter_dtype``). trl's trainer converts those of a
    quantised model to bfloat16, as in QLoRA. Gradients and the states of PyTorch's optimisers have
    the same type.
    """
    return 2 if config.model.quantization == "4bit" else 4


def _weights(config: TrainingConfig, shape: Shape) -> int:
    """Bytes of the base model's weights: bfloat16, except for linear layers in 4 bits.

    In 4 bits a parameter takes half a byte. Every 64 parameters have a scale of one byte, and every
    256 scales one of four bytes (double quantisation, QLoRA, section 3). bitsandbytes adds two
    tables and an offset, 1,092 bytes per layer.
    """
    parameters = shape.parameters
    rest = 2 * (parameters.embedding + parameters.norm)
    if config.model.quantization != "4bit":
        return rest + 2 * parameters.linear
    sizes = [inner * outer for inner, outer in shape.linears.values()]
    one = sum(size // 2 + size // 64 + 4 * -(-size // (64 * 256)) + 1092 for size in sizes)
    return rest + shape.layers * one


def _state(config: TrainingConfig, count: int) -> int:
    """Bytes of the optimiser's state for a factor with ``count`` parameters.

    PyTorch's optimisers keep two moments in the factor's own type. Those of bitsandbytes keep a
    byte for each moment and a float32 scale for every 256, but use float32 for fewer than 4,096
    parameters, or if the name says 32bit. Paged optimisers count in full: their state leaves the
    GPU only when memory is short.
    """
    name = config.optim.optimizer
    moments = 0 if name == "sgd" else 1 if "lion" in name or "rmsprop" in name else 2
    if "8bit" in name and count >= 4096:
        return moments * (count + 4 * -(-count // 256))
    return moments * count * (4 if "bit" in name else _adapter_bytes(config))


def _span(config: TrainingConfig) -> int:
    """Tokens that attention covers. Packed rows of a batch are joined into one sequence."""
    packed = config.optim.batching == "packing"
    return config.data.max_length * (config.optim.batch_size if packed else 1)


def _tokens(config: TrainingConfig) -> int:
    return config.optim.batch_size * config.data.max_length


def _attention(config: TrainingConfig, shape: Shape, span: int, *, alone: bool) -> int:
    """Bytes per token that attention keeps.

    These are queries, keys, values, the output and a float32 normaliser per head, but no matrix of
    tokens by tokens. With a mask (padding or packing), transformers repeats keys and values for
    every head, and a row of the mask is kept in bfloat16 (``integrations/sdpa_attention.py``).
    Flash attention needs no mask. ``eager`` keeps the matrix, in float32 and in bfloat16.

    Args:
        config: The run's configuration.
        shape: The model's sizes.
        span: Tokens that attention covers.
        alone: Whether there is only one row, which has no padding.
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
    """Bytes per token that a decoder layer keeps for its backward pass.

    Frozen linear layers keep nothing. The layer keeps the float32 input of each normalisation; what
    attention keeps; gate, activation and up projection of the feed-forward part; and, for each
    linear layer with an adapter, the adapter's bfloat16 input and its product with the first
    factor. That input is shared with others, unless dropout or the cast for a float32 adapter
    copies it. Dropout keeps its mask: a byte per number on CUDA, the numbers themselves on a CPU.
    """
    width, inner = shape.width, shape.intermediate
    heads = (shape.heads + shape.kv_heads) * (shape.head_dim + 1) if shape.head_norms else 0
    packed = config.optim.batching == "packing"
    total = 4 * (shape.norms * (width + 1) + heads)
    total += _attention(
        config, shape, _span(config), alone=config.optim.batch_size == 1 and not packed
    )
    total += (6 if shape.gated else 4) * inner
    targets = _targets(config, shape)
    total += 2 * config.lora.lora_rank * len(targets)
    copied = config.lora.lora_dropout > 0 or _adapter_bytes(config) == 4
    if copied:
        inputs = sum(size for size, _ in targets.values())
    else:
        # Queries, keys and values share an input, and so do gate and up. The output projection's
        # input is the output that attention keeps anyway.
        groups = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
        inputs = sum(width for group in groups if targets.keys() & set(group))
        inputs += inner if "down_proj" in targets else 0
    mask = 0
    if config.lora.lora_dropout > 0:
        mask = 1 if device == "cuda" else _adapter_bytes(config)
        mask *= sum(size for size, _ in targets.values())
    return total + 2 * inputs + mask


def _activations(config: TrainingConfig, shape: Shape, device: Kind) -> int:
    """Bytes that all layers and the last normalisation keep.

    With gradient checkpointing, a layer keeps only its input.
    """
    layer = (
        2 * shape.width if config.model.gradient_checkpointing else _layer(config, shape, device)
    )
    return _tokens(config) * (shape.layers * layer + 4 * (shape.width + 1))


def _workspace(config: TrainingConfig, shape: Shape, device: Kind) -> int:
    """Bytes that the backward pass of one layer needs for a while.

    They are two gradients of the feed-forward part, which is the widest, and one of the hidden
    state. A float32 adapter adds copies of its input and gradient in its type, and dropout again.
    With gradient checkpointing, all that the layer keeps is added. In 4 bits, the largest weight as
    bfloat16 is added (``MatMul4Bit.backward`` of bitsandbytes).
    """
    if _adapter_bytes(config) == 2:
        token = 4 * shape.intermediate + 2 * shape.width
    else:
        token = (10 if config.lora.lora_dropout > 0 else 6) * shape.intermediate + 8 * shape.width
    if config.model.gradient_checkpointing:
        token += _layer(config, shape, device)
    return _tokens(config) * token + _largest_weight(config, shape)


def _largest_weight(config: TrainingConfig, shape: Shape) -> int:
    if config.model.quantization != "4bit":
        return 0
    return 2 * max(inner * outer for inner, outer in shape.linears.values())


def _logits(config: TrainingConfig, shape: Shape, device: Kind) -> int:
    """Bytes that the loss needs if every token is learnt.

    On CUDA, trl's fused head has a tile of 4,096 tokens by 32,768 entries of the vocabulary in
    bfloat16, computes the gradient of the hidden states in float32 and casts it
    (``trl/kernels/chunked_logprob.py``). On a CPU, ``_cpu_head`` has 512 tokens by the whole
    vocabulary, three times in float32 and once in bfloat16, and the gradient in bfloat16.
    """
    tokens = _tokens(config)
    if device == "cuda":
        return 2 * min(tokens, _TILE_TOKENS) * _TILE_WORDS + tokens * shape.width * (2 + 4 + 2)
    return 14 * min(tokens, _CPU_TOKENS) * shape.vocabulary + tokens * shape.width * (2 + 2)


def _answering(config: TrainingConfig, shape: Shape) -> int:
    """Bytes for answering a batch of held-out sentences: the peak of reading and writing.

    Both need the cache of keys and values. Questions count as ``max_length`` tokens. While they are
    read, a layer needs the memory of its feed-forward part. Logits are computed for the last tokens
    only, once in bfloat16 and twice in float32.
    """
    evaluation, length = config.evaluation, config.data.max_length
    if not config.data.evaluates:
        return 0
    rows = min(evaluation.eval_batch_size, evaluation.eval_sentences or evaluation.eval_batch_size)
    cache = rows * shape.layers * 4 * shape.kv_heads * shape.head_dim
    copies = 6 if _adapter_bytes(config) == 2 else 8
    token = (
        copies * shape.intermediate
        + 10 * shape.width
        + _attention(config, shape, length, alone=rows == 1)
    )
    reading = cache * length + rows * length * token
    writing = cache * (length + evaluation.max_new_tokens)
    return max(reading, writing) + 10 * rows * shape.vocabulary + _largest_weight(config, shape)
