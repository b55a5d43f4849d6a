"""What engines share that load a model into this process (``transformers`` and ``vllm``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmner.engines._types import decoding
from llmner.engines.adapters import Adapter, check_adapter, find_adapter, weights
from llmner.engines.exaone import llama_adapter, llama_model
from llmner.errors import GenerationError, InputError
from llmner.recipes.chat import Prompt

__all__ = ["checked_adapter", "describe_model", "fitting_adapter", "model_to_load", "too_long"]


def describe_model(
    engine: str,
    model: str,
    adapter: str | Adapter | None,
    *,
    temperature: float,
    seed: int,
    max_new_tokens: int,
    **more: Any,
) -> dict[str, Any]:
    """Engine, model, adapter and decoding settings, for signatures.

    >>> describe_model("vllm", "gpt2", None, temperature=0, seed=0, max_new_tokens=256)
    {'engine': 'vllm', 'model': 'gpt2', 'adapter': None, 'decoding': 'greedy',
     'max_new_tokens': 256}
    """
    name = adapter.name if isinstance(adapter, Adapter) else adapter
    return {
        "engine": engine,
        "model": model,
        "adapter": name,
        **weights(model, name),
        **decoding(temperature, seed),
        "max_new_tokens": max_new_tokens,
        **more,
    }


def checked_adapter(
    adapter: str | Adapter | None, report: Callable[[str], None] | None
) -> Adapter | None:
    """The adapter, found if it is only a name, after its files have been checked.

    Raises:
        InputError: There is no such adapter, or it is broken.
        GenerationError: The Hub does not have it, or does not answer.
        MissingExtraError: The ``local`` extra is not installed.
    """
    if isinstance(adapter, str):
        adapter = find_adapter(adapter, report)
    if adapter is not None:
        check_adapter(adapter)
    return adapter


def fitting_adapter(adapter: Adapter, model_type: str) -> Adapter:
    """The adapter with the names that layers of such a model have.

    Only names of EXAONE 3 are known, whose copies are Llamas.

    Args:
        adapter: The adapter.
        model_type: As the model's configuration has it.

    Raises:
        InputError: A file of the adapter is missing or broken.
        MissingExtraError: The ``local`` extra is not installed.
    """
    return llama_adapter(adapter) if model_type == "llama" else adapter


def model_to_load(
    name: str, *, trust_remote_code: bool, report: Callable[[str], None] | None = None
) -> str:
    """The name or the folder of a model that loads without code of its own, unless that may run.

    EXAONE 3 in its own layout is copied into Llama's, once.

    Raises:
        GenerationError: The copy cannot be made, or the Hub does not answer.
        MissingExtraError: The ``local`` or the ``hub`` extra is not installed.
    """
    if trust_remote_code:
        return name
    try:
        return llama_model(name, report)
    except InputError as error:
        raise GenerationError(f"{name} cannot be loaded: {error}") from None


def too_long(prompt: Prompt, tokens: int, max_new_tokens: int, limit: str, advice: str) -> str:
    """The error of a prompt that the model has no room for.

    >>> too_long(Prompt((), "", "", "", id="a"), 2050, 256, "2048 tokens", "shorten it")
    "a prompt (id 'a') of 2050 tokens and an answer of 256 do not fit into 2048 tokens;
    shorten it"

    Args:
        prompt: The prompt.
        tokens: Tokens of the prompt.
        max_new_tokens: Tokens that its answer may have.
        limit: What they do not fit into.
        advice: What to do about it.
    """
    where = f" (id {prompt.id!r})" if prompt.id else ""
    return (
        f"a prompt{where} of {tokens} tokens and an answer of {max_new_tokens} do not fit into "
        f"{limit}; {advice}"
    )
