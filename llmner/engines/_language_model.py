"""Causal language models of ``transformers``: loaded, checked, and set up to generate."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from llmner._mishaps import Mishap, attempt
from llmner.engines._denormals import denormals_flushed
from llmner.engines._encoding import encode_prompt
from llmner.engines._in_process import model_to_load
from llmner.engines._loading import check_available, load_pretrained
from llmner.engines._types import PLAIN_QUESTION
from llmner.engines.embedded import EMBEDDED_MODEL, embedded_model, prepared_model
from llmner.errors import GenerationError, MissingExtraError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "check_answerable",
    "context_length",
    "end_tokens",
    "load_model",
    "vocabulary_size",
]


def load_model(
    name: str,
    *,
    dtype: str = "auto",
    trust_remote_code: bool = False,
    report: Callable[[str], None] | None = None,
    **options: Any,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model and its tokenizer, which pads on the left.

    >>> model, tokenizer = load_model("gpt2")  # doctest: +SKIP
    >>> tokenizer.padding_side  # doctest: +SKIP
    'left'

    Args:
        name: Name on the Hub, a folder, or :data:`EMBEDDED_MODEL`.
        dtype: Number type of the weights, ``"float32"`` for example; bfloat16 with ``"auto"``,
            and with ``"int8"``, into which loaded layers are turned.
        trust_remote_code: Run Python code that comes with the model.
        report: Called with a sentence before anything that takes long.
        **options: Passed on to ``from_pretrained`` (``quantization_config``, ``device_map``, ...).

    Raises:
        MissingExtraError: The ``local`` extra is not installed.
        GenerationError: The model cannot be loaded. If it is a folder, the broken file is named.
    """
    with ThreadPoolExecutor(max_workers=1) as other_thread:
        # Its files are read and hashed beside the imports, which keep one core busy.
        prepared = other_thread.submit(prepared_model) if name == EMBEDDED_MODEL else None
        try:
            import torch
            from transformers import AutoModelForCausalLM
            from transformers.utils import logging
        except ImportError:
            raise MissingExtraError("local", "the transformers engine") from None
    logging.disable_progress_bar()
    if prepared is not None:
        path = str(prepared.result() or embedded_model(report))
    else:
        path = model_to_load(name, trust_remote_code=trust_remote_code, report=report)
        check_available(path)
    if report is not None:
        report(f"Loading {name}")
    with denormals_flushed():
        model, tokenizer = load_pretrained(
            AutoModelForCausalLM,
            name,
            path,
            dtype=torch.bfloat16 if dtype in ("auto", "int8") else getattr(torch, dtype),
            trust_remote_code=trust_remote_code,
            **options,
        )
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def check_answerable(name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make sure that the model can be asked at all, before it is asked thousands of questions.

    Raises:
        GenerationError: Its tokenizer, its chat template or its end tokens are broken.
    """
    question = attempt(encode_prompt, tokenizer, PLAIN_QUESTION)
    if isinstance(question, Mishap):
        raise GenerationError(
            f"{name} cannot be used: its tokenizer or chat template fails ({question})"
        )
    size = vocabulary_size(model)

    def are_tokens(values: Any) -> bool:
        return all(type(value) is int and 0 <= value < size for value in values)

    ends = attempt(end_tokens, model, tokenizer)
    if isinstance(ends, Mishap) or not are_tokens(ends):
        raise GenerationError(
            f"{name} cannot be used: 'eos_token_id' in its generation_config.json or config.json "
            f"is not one of its {size} tokens"
        )
    if not question or not are_tokens(question):
        raise GenerationError(
            f"{name} cannot be used: its tokenizer gives no tokens, or tokens that the model does "
            "not have"
        )


def vocabulary_size(model: PreTrainedModel) -> int:
    """How many tokens the model gives scores to."""
    return int(model.get_output_embeddings().weight.shape[0])


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The tokens that end an answer."""
    ends = model.generation_config.eos_token_id
    all_ends = [*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id]
    return {end for end in all_ends if end is not None}


def context_length(model: PreTrainedModel) -> int | None:
    """How many tokens a question and its answer may have together, if the model says."""
    limit = getattr(model.config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) else None
