"""The protocol engines follow, and what they can do. How they are found by name is
``_registry``'s.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from llmner.recipes.chat import Prompt

__all__ = [
    "PLAIN_QUESTION",
    "Capabilities",
    "Engine",
    "Generator",
    "RecordedReplies",
    "Reply",
    "Token",
    "as_engine",
    "decoding",
    "prompt_seed",
]

PLAIN_QUESTION = Prompt(({"role": "user", "content": "."},), ".", "\n", ".")
"""What an engine that fails is asked: if it answers that, the questions are at fault."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a reply.

    Attributes:
        start: First code point of the reply that it reaches into.
        end: One past its last code point. A token of a few bytes shares a code point with its
            neighbours; one that was taken off the reply's edge, or that ended it, is empty.
        logprob: Natural logarithm of the probability that the model gave it at temperature 1, of
            all tokens: before a grammar forbids any. vLLM tells that among the tokens which a
            grammar allows.
    """

    start: int
    end: int
    logprob: float


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    Attributes:
        text: The raw reply.
        finish_reason: ``"stop"`` (the model ended it), ``"length"`` (cut off at the limit) or
            ``"error"`` (there is no answer).
        prompt_tokens: Tokens of the question, where the engine counts them.
        completion_tokens: Tokens of the answer, where the engine counts them.
        error: Why there is no answer, in one line; ``None`` where there is one.
        tokens: The answer's tokens and their probabilities, where the engine knows them. Not
            compared.
        retryable: Where there is no answer, whether there may be one when it is asked again.
    """

    text: str
    finish_reason: Literal["stop", "length", "error"] = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str | None = None
    tokens: tuple[Token, ...] | None = field(default=None, compare=False, repr=False)
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do, and what it is best at. Known before the engine is built.

    >>> Capabilities(grammar=True).json_schema
    False

    Attributes:
        grammar: It keeps a reply to a prompt's grammar.
        json_schema: It keeps a reply to a prompt's JSON schema.
        logprobs: It tells the probabilities of a reply's tokens.
        samples: It draws replies where the temperature is above 0, the same ones for the same seed.
        adapters: It takes PEFT adapters itself.
        in_process: Its model is loaded into this process, on the first question.
        whole_texts: It takes texts of any length; they are not split into windows.
        replays: It gives replies that were recorded, and asks no model.
        sorts: It sorts what it is handed by length, so that the first answer of many comes late.
        concurrent: It answers many questions at once that come one by one, as an endpoint does.
        isolates: What it raises is not to be mended by asking each question of the batch alone.
        batch_size: Questions that it answers together, unless it is told otherwise.
        queue: Batches that it is handed at once: enough that it never waits, and can sort by
            length.
    """

    grammar: bool = False
    json_schema: bool = False
    logprobs: bool = False
    samples: bool = False
    adapters: bool = False
    in_process: bool = False
    whole_texts: bool = False
    replays: bool = False
    sorts: bool = False
    concurrent: bool = False
    isolates: bool = False
    batch_size: int = 16
    queue: int = 4


class Generator(Protocol):
    """The least that an engine has. One that can do more says so as :class:`Engine` does."""

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Answer every prompt, in the order they came.

        Raises:
            GenerationError: The engine could not answer.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What decides the answers, for signatures: engine, model, adapter, decoding settings."""
        ...


class RecordedReplies(Protocol):
    """Replies that are there already: a source, which is asked for what it has."""

    def skip(self, prompt: Prompt) -> None:
        """Pass over the reply of a prompt."""
        ...

    def covers(self, sentences: Iterable[tuple[str | None, str]]) -> list[bool]:
        """For each (id, text), asked in this order, whether there is a reply left to it."""
        ...

    def unused(self) -> int:
        """How many replies nobody has asked for yet."""
        ...


class Engine:
    """What answers prompts. Subclasses write ``generate`` and ``describe``, and say what else they
    can do.

    >>> class Echo(Engine):
    ...     def generate(self, prompts):
    ...         return [Reply(prompt.text) for prompt in prompts]
    ...     def describe(self):
    ...         return {"engine": "echo"}
    >>> Echo().capabilities.grammar
    False

    Attributes:
        capabilities: What it can do.
        parameters: Which of its constructor's parameters takes an option of another name.
    """

    capabilities: Capabilities = Capabilities()
    parameters: ClassVar[dict[str, str]] = {}

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Answer every prompt, in the order they came.

        Raises:
            GenerationError: The engine could not answer.
        """
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """What decides the answers, for signatures: engine, model, adapter, decoding settings."""
        raise NotImplementedError

    def fits(self, prompt: Prompt) -> bool:
        """Whether the model has room for a prompt and its longest answer. A text whose prompt does
        not fit is asked about in windows small enough.
        """
        return True

    def load(self) -> object:
        """Load what is loaded on the first question otherwise."""
        return None

    def recorded(self) -> RecordedReplies | None:
        """The recorded replies that it gives, if it asks no model."""
        return None

    def model_size(self) -> dict[str, int] | None:
        """``parameters`` and ``bytes`` of the model, where it is in this process."""
        return None


class _Plain(Engine):
    """Something that generates and describes, as an engine. What it can do is looked up by name."""

    def __init__(self, generator: Generator) -> None:
        self._generator: Any = generator
        constrains = bool(getattr(generator, "constrains", False))
        self.capabilities = Capabilities(
            grammar=constrains,
            json_schema=constrains,
            whole_texts=bool(getattr(generator, "whole_texts", False)),
            isolates=bool(getattr(generator, "isolates", False)),
        )

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """As it does."""
        replies: list[Reply] = self._generator.generate(prompts)
        return replies

    def describe(self) -> dict[str, Any]:
        """As it does."""
        described: dict[str, Any] = self._generator.describe()
        return described

    def fits(self, prompt: Prompt) -> bool:
        """As it says; yes where it does not."""
        fits = getattr(self._generator, "fits", None)
        return True if fits is None else bool(fits(prompt))

    def load(self) -> object:
        """As it does, if it does."""
        load = getattr(self._generator, "load", None)
        return None if load is None else load()

    def recorded(self) -> RecordedReplies | None:
        """Itself, if it has what those have."""
        source: RecordedReplies = self._generator
        return (
            source if all(hasattr(source, name) for name in ("skip", "covers", "unused")) else None
        )


def as_engine(generator: Generator) -> Engine:
    """An engine with all that engines have, from one with no more than ``generate`` and
    ``describe``.
    """
    return generator if isinstance(generator, Engine) else _Plain(generator)


def decoding(temperature: float, seed: int) -> dict[str, Any]:
    """How answers are decoded, as engines describe it."""
    return (
        {"decoding": "greedy"}
        if temperature <= 0
        else {"decoding": f"t={temperature:g}", "seed": seed}
    )


def prompt_seed(seed: int, prompt: Prompt) -> int:
    """The seed of one draw, 31 bits: another one for each question and sample, whatever the
    batch.
    """
    return zlib.crc32(f"{seed} {prompt.sample} {prompt.completion}".encode("utf-8", "replace")) >> 1
