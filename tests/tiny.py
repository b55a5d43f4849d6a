"""A two-layer language model with random weights and a byte tokenizer, made on the spot."""

from __future__ import annotations

from pathlib import Path

NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not "
    "supported') }}"
    "{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
)
"""A chat template that knows no system role, as Gemma's."""

EXAONE = (
    "{% for m in messages %}[|{{ m.role }}|]{{ m.content }}"
    "{% if m.role == 'user' %}\n{% else %}[|endofturn|]\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}[|assistant|]{% endif %}"
)
"""The shape of EXAONE 3.5's chat template: answers end with a token of their own."""


def tiny_model(
    folder: Path, template: str | None = None, *, width: int = 32, layers: int = 2
) -> Path:
    """Save a random Llama and its tokenizer; with EXAONE's template ``[|endofturn|]`` is token 3
    and stops it.
    """
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<unk>", "<s>", "</s>", *(["[|endofturn|]"] if template == EXAONE else [])],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["손흥민은 춘천에서 태어났다."], trainer)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    if template is not None:
        fast.chat_template = template
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(fast),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=2048,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = transformers.LlamaForCausalLM(config)
    if template == EXAONE:
        model.generation_config.eos_token_id = [2, 3]
    model.save_pretrained(folder)
    return folder
