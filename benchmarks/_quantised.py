"""A language model of any size with random weights, made directly in 4 bits, and a tokenizer.

No weights are downloaded. Memory never holds more than one linear layer in bfloat16.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from llmner.engines._quantization import four_bits
from llmner.training._memory import Shape

TEMPLATE = (
    "{% for m in messages %}[|{{ m.role }}|]{{ m.content }}"
    "{{ '' if m.role == 'user' else '[|endofturn|]' }}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}[|assistant|]{% endif %}"
)
"""A chat template with EXAONE 3.5's turns."""

SPECIAL = ["[PAD]", "[BOS]", "[|endofturn|]", "[|system|]", "[|user|]", "[|assistant|]"]
WORDS = 4000
"""Size of the tokenizer's vocabulary.

It gives 2.5 tokens for a Korean word of KLUE. Gemma's vocabulary of 262,144 gives 2.7.
"""


def train_tokenizer(texts: Iterable[str]) -> Any:
    """Train a byte-level BPE tokenizer, with EXAONE's chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="[PAD]", bos_token="[BOS]", eos_token="[|endofturn|]"
    )
    fast.chat_template = TEMPLATE
    fast.padding_side = "left"
    return fast


def random_model(shape: Shape, device: str, eos: int) -> Any:
    """A Llama model of a given shape. Linear layers are in 4 bits, as in training.

    All other weights are in bfloat16.

    Args:
        shape: Numbers of layers, heads and so on.
        device: "cuda:0" or "cpu".
        eos: ID of the token that ends an answer.
    """
    import bitsandbytes
    import torch
    from accelerate import init_empty_weights
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.quantizers.auto import AutoHfQuantizer

    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        max_position_embeddings=4096,
        tie_word_embeddings=shape.tied,
        bos_token_id=1,
        eos_token_id=eos,
        pad_token_id=0,
        use_cache=False,
    )
    with init_empty_weights():
        model = LlamaForCausalLM._from_config(config, dtype=torch.bfloat16)
    quantizer = AutoHfQuantizer.from_config(four_bits(), pre_quantized=False)
    places = {"": 0 if device.startswith("cuda") else device}
    quantizer.preprocess_model(model=model, device_map=places)
    generator = torch.Generator(device).manual_seed(0)
    for module in model.modules():
        for name, empty in list(module.named_parameters(recurse=False)):
            if empty.dim() == 1:
                weight = torch.ones(empty.shape, dtype=torch.bfloat16, device=device)
            else:
                weight = torch.empty(empty.shape, dtype=torch.bfloat16, device=device)
                weight.normal_(std=0.02, generator=generator)
            if isinstance(module, bitsandbytes.nn.Linear4bit):
                settings = {
                    key: getattr(empty, key)
                    for key in ("quant_type", "quant_storage", "compress_statistics")
                }
                quantised = bitsandbytes.nn.Params4bit(
                    weight, requires_grad=False, module=module, **settings
                )
                module.weight = quantised.to(device)
            else:
                setattr(module, name, torch.nn.Parameter(weight, requires_grad=False))
    model.tie_weights()
    # Rotary tables are buffers and not parameters. They are moved one by one, since some versions
    # refuse to move a whole model in 4 bits.
    for module in model.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            module.register_buffer(name, buffer.to(device), persistent=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.hf_quantizer = quantizer
        quantizer.postprocess_model(model)
    model.hf_device_map = places
    return model.eval()
