"""The protocol that engines follow, and what they can do.

``_registry`` finds engines by name.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
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
"""Asked when an engine fails: if it answers this, the other questions were at fault."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a reply.

    >>> token = Token(0, 4, -0.25)
    >>> "Anna sings"[token.start : token.end]
    'Anna'

    Attributes:
        start: First code point of the reply that the token covers.
        end: One past its last code point. A token that is only part of a character shares the code
            point with its neighbours. A token that was stripped off the reply's edge, or that
            ended the reply, is empty.
        logprob: Natural logarithm of the token's probability at temperature 1, among all tokens,
            before a grammar forbids any. vLLM's is among the tokens that the grammar allows.
    """

    start: int
    end: int
    logprob: float


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    >>> Reply('{"PS": ["Anna"]}').finish_reason
    'stop'
    >>> Reply("", "error", error="no answer after 6 attempts", retryable=True).text
    ''

    Attributes:
        text: The raw reply.
        finish_reason: ``"stop"`` (the model ended it), ``"length"`` (cut off at the limit) or
            ``"error"`` (there is no answer).
        prompt_tokens: Tokens of the question, if the engine counts them.
        completion_tokens: Tokens of the answer, if the engine counts them.
        error: Why there is no answer, in one line; ``None`` if there is one.
        tokens: The answer's tokens and their probabilities, if the engine knows them. Ignored when
            replies are compared.
        retryable: If there is no answer, whether asking again may give one.
        is_reasoning: Whether the text is what the endpoint took for the model's reasoning, since it
            sent nothing else. It counts as a reply only if an answer can be read from it.
    """

    text: str
    finish_reason: Literal["stop", "length", "error"] = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str | None = None
    tokens: tuple[Token, ...] | None = field(default=None, compare=False, repr=False)
    retryable: bool = False
    is_reasoning: bool = False


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do, and what it is best at. Known before the engine is built.

    >>> Capabilities(grammar=True).json_schema
    False

    Attributes:
        grammar: Replies follow a prompt's grammar.
        json_schema: Replies follow a prompt's JSON schema.
        logprobs: Replies have the probabilities of their tokens.
        samples: Replies are drawn if the temperature is above 0; the same seed gives the same
            draws.
        adapters: It loads PEFT adapters.
        in_process: Its model is loaded into this process, with the first question.
        whole_texts: It takes texts of any length, so they are not split into windows.
        replays: It gives recorded replies and asks no model.
        sorts: It sorts its questions by length, so the first answer of many comes late.
        concurrent: It takes many single questions at once, as an endpoint does.
        isolates: It already handles the failure of a single question. If it raises, asking each
            question of the batch alone would not help.
        batch_size: Questions that it answers together by default.
        queue: Batches that it gets at once: enough to keep it busy and to let it sort by length.
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
    """The least that an engine needs. :class:`Engine` has more, and defaults for the rest.

    >>> class Echo:
    ...     def generate(self, prompts):
    ...         return [Reply(prompt.text) for prompt in prompts]
    ...     def describe(self):
    ...         return {"engine": "echo"}
    >>> engine: Generator = Echo()
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


class RecordedReplies(Protocol):
    """A source of replies that were recorded earlier.

    Attributes:
        by_text: Whether replies are found by text, because their ids are not the sentences'.
    """

    by_text: bool

    def skip(self, prompt: Prompt) -> None:
        """Skip the reply of a prompt."""
        ...

    def covers(self, sentences: Iterable[tuple[str | None, str]]) -> list[bool]:
        """For each (id, text), in this order, whether there is still a reply for it."""
        ...

    def unused(self) -> int:
        """How many replies have not been used."""
        ...


class Engine:
    """The base class of engines, which answer prompts.

    Subclasses define ``generate`` and ``describe``, and declare what else they can do.

    >>> class Echo(Engine):
    ...     def generate(self, prompts):
    ...         return [Reply(prompt.text) for prompt in prompts]
    ...     def describe(self):
    ...         return {"engine": "echo"}
    >>> Echo().capabilities.grammar
    False

    Attributes:
        capabilities: What it can do.
        parameters: Options whose name differs from the constructor's parameter: the parameter's
            name by the option's.
    """

    capabilities: Capabilities = Capabilities()
    parameters: ClassVar[dict[str, str]] = {}

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Answer every prompt, in the order they came.

        Raises:
            GenerationError: The engine could not answer.
        """
        raise NotImplementedError

    def stream(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Reply]]:
        """Yield each reply as soon as it is finished, with the index of its prompt.

        Replies come in any order, and each prompt has exactly one. An engine that finishes some
        earlier than others overrides this; here all are yielded once ``generate`` has answered all.
        Whoever closes the iterator takes no more replies.

        >>> class Echo(Engine):
        ...     def generate(self, prompts):
        ...         return [Reply(prompt.text) for prompt in prompts]
        >>> [(index, reply.text) for index, reply in Echo().stream([PLAIN_QUESTION])]
        [(0, '.')]

        Raises:
            GenerationError: The engine could not answer. Replies that were yielded are valid.
            ValueError: ``generate`` gave too few replies, or too many.
        """
        replies = list(self.generate(prompts))
        if len(replies) != len(prompts):
            # Nobody knows which reply belongs to which prompt, so none is yielded.
            raise ValueError(f"the engine gave {len(replies)} replies to {len(prompts)} prompts")
        yield from enumerate(replies)

    def describe(self) -> dict[str, Any]:
        """What decides the answers, for signatures: engine, model, adapter, decoding settings."""
        raise NotImplementedError

    def fits(self, prompt: Prompt) -> bool:
        """Whether the model has room for a prompt and its longest answer.

        A text whose prompt does not fit is split into windows that do.
        """
        return True

    def load(self) -> object:
        """Load now what would otherwise be loaded with the first question."""
        return None

    def recorded(self) -> RecordedReplies | None:
        """The recorded replies, if the engine asks no model."""
        return None

    def model_size(self) -> dict[str, int] | None:
        """``parameters`` and ``bytes`` of the model, if it is in this process."""
        return None


class _GeneratorEngine(Engine):
    """An engine around a generator. What the generator can do is looked up by attribute names.

    A ``stream`` of the generator's own is not used: it may well stream the tokens of one reply.
    """

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
        """The generator's replies."""
        replies: list[Reply] = self._generator.generate(prompts)
        return replies

    def describe(self) -> dict[str, Any]:
        """The generator's description."""
        described: dict[str, Any] = self._generator.describe()
        return described

    def fits(self, prompt: Prompt) -> bool:
        """What the generator says; yes if it does not say."""
        fits = getattr(self._generator, "fits", None)
        return True if fits is None else bool(fits(prompt))

    def load(self) -> object:
        """Load the generator, if it can be loaded."""
        load = getattr(self._generator, "load", None)
        return None if load is None else load()

    def recorded(self) -> RecordedReplies | None:
        """The generator, if it has the methods of recorded replies."""
        source: RecordedReplies = self._generator
        return (
            source if all(hasattr(source, name) for name in ("skip", "covers", "unused")) else None
        )


def as_engine(generator: Generator) -> Engine:
    """An engine from anything that has ``generate`` and ``describe``."""
    return generator if isinstance(generator, Engine) else _GeneratorEngine(generator)


def decoding(temperature: float, seed: int) -> dict[str, Any]:
    """The decoding settings, for an engine's description.

    >>> decoding(0.7, 3)
    {'decoding': 't=0.7', 'seed': 3}
    """
    return (
        {"decoding": "greedy"}
        if temperature <= 0
        else {"decoding": f"t={temperature:g}", "seed": seed}
    )


def prompt_seed(seed: int, prompt: Prompt) -> int:
    """The seed of one draw, 31 bits. It depends on question and sample, not on the batch."""
    return zlib.crc32(f"{seed} {prompt.sample} {prompt.completion}".encode("utf-8", "replace")) >> 1
