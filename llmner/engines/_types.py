"""The protocol engines follow, and how they are found by name."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal, Protocol, cast

from llmner.errors import UnknownNameError
from llmner.recipes.chat import Prompt

__all__ = ["ENGINES", "PLAIN_QUESTION", "Generator", "Reply", "Token", "create_generator"]

PLAIN_QUESTION = Prompt(({"role": "user", "content": "."},), ".", "\n", ".")
"""What an engine that fails is asked: if it answers that, the questions are at fault."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a reply.

    Attributes:
        start: First code point of the reply that it reaches into.
        end: One past its last code point. A token of a few bytes shares a code point with its neighbours; one
            that was taken off the reply's edge, or that ended it, is empty.
        logprob: Natural logarithm of the probability that the model gave it at temperature 1, of all tokens:
            before a grammar forbids any. vLLM tells that among the tokens which a grammar allows.
    """

    start: int
    end: int
    logprob: float


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    Attributes:
        text: The raw reply.
        finish_reason: ``"stop"`` (the model ended it), ``"length"`` (cut off at the limit) or ``"error"``
            (there is no answer).
        prompt_tokens: Tokens of the question, where the engine counts them.
        completion_tokens: Tokens of the answer, where the engine counts them.
        error: Why there is no answer, in one line; ``None`` where there is one.
        tokens: The answer's tokens and their probabilities, where the engine knows them. Not compared.
        retryable: Where there is no answer, whether there may be one when it is asked again.
    """

    text: str
    finish_reason: Literal["stop", "length", "error"] = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str | None = None
    tokens: tuple[Token, ...] | None = field(default=None, compare=False, repr=False)
    retryable: bool = False


class Generator(Protocol):
    """An engine.

    It may have more, which is looked up by name:

    - ``constrains = True``: it keeps to a prompt's grammar.
    - ``fits(prompt) -> bool``: whether the model has room for a prompt and its longest answer. A text whose
      prompt does not fit is asked about in windows small enough.
    - ``whole_texts = True``: it takes texts of any length, and is asked about none in windows.
    - ``isolates = True``: what it raises is not to be mended by asking each question of the batch alone.
    """

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Answer every prompt, in the order they came.

        Raises:
            GenerationError: The engine could not answer.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What decides the answers, for signatures: engine, model, adapter, decoding settings."""
        ...


ENGINES: dict[str, str] = {
    "transformers": "llmner.engines.transformers_engine:TransformersGenerator",
    "vllm": "llmner.engines.vllm_engine:VllmGenerator",
    "openai": "llmner.engines.openai_engine:OpenAIGenerator",
    "recorded": "llmner.engines.recorded:RecordedGenerator",
}
"""Engine names and where their classes live; a name is imported only when it is asked for."""


def decoding(temperature: float, seed: int) -> dict[str, Any]:
    """How answers are decoded, as engines describe it."""
    return {"decoding": "greedy"} if temperature <= 0 else {"decoding": f"t={temperature:g}", "seed": seed}


def prompt_seed(seed: int, prompt: Prompt) -> int:
    """The seed of one draw, 31 bits: another one for each question and sample, whatever the batch."""
    return zlib.crc32(f"{seed} {prompt.sample} {prompt.completion}".encode("utf-8", "replace")) >> 1


def create_generator(name: str, **options: Any) -> Generator:
    """An engine by name; options are those of its class.

    Raises:
        UnknownNameError: No such engine.
        MissingExtraError: The engine's libraries are not installed.
        TypeError: An option it does not have.
    """
    if name not in ENGINES:
        raise UnknownNameError(f"unknown engine {name!r}", hint=f"expected one of {', '.join(ENGINES)}")
    module, _, attribute = ENGINES[name].partition(":")
    factory = cast(Callable[..., Generator], getattr(import_module(module), attribute))
    return factory(**options)
