"""What engines share that load a model into this process (``transformers`` and ``vllm``)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmner.engines._types import decoding
from llmner.engines.adapters import Adapter, check_adapter, find_adapter, weights
from llmner.engines.exaone import is_exaone3
from llmner.errors import GenerationError
from llmner.recipes.chat import Prompt

__all__ = ["check_layout", "checked_adapter", "describe_model", "too_long"]


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


def check_layout(name: str, *, trust_remote_code: bool) -> None:
    """Refuse a model that loads only with code of its own, unless that may run.

    Raises:
        GenerationError: It is an EXAONE 3 checkpoint in its own layout.
    """
    if is_exaone3(Path(name)) and not trust_remote_code:
        raise GenerationError(
            f"{name} is an EXAONE 3 checkpoint, which needs its own code to load; convert it to "
            f"Llama's layout with python scripts/convert_exaone.py {name} {name}-llama"
        )


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
