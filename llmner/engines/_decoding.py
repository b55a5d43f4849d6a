"""Decoding token by token: the state of each answer, and which token comes next.

Greedy or drawn, with a grammar or without. Nothing here depends on the rest of the batch.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from llmner._mishaps import one_line
from llmner.engines._types import Reply, Token
from llmner.errors import GenerationError, MissingExtraError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from llmner.engines._scores import NextScores

__all__ = ["Answer", "Grammars", "choose", "normalizers", "placed"]

# The stop string is looked for in this many last tokens; a stop of a few characters fits in.
_TAIL_TOKENS = 8
# Numbers of last tokens that are looked for in what came before.
_SAME = (3, 2, 1)
# Rows of scores that are summed at a time. All rows at once would need as much memory again.
_ROWS = 8


@dataclass(slots=True)
class Answer:
    """A question and its answer so far.

    Attributes:
        question: The tokens of the question.
        stop: A string that ends the answer, besides the model's own end tokens.
        answer: The tokens of the answer so far.
        logprobs: The logarithm of each answer token's probability; see :func:`choose`.
        end: The logarithm of the end token's probability, if one ended the answer.
        finish: Why the answer ended, or ``None`` while it goes on.
        error: Why there is no answer.
        grammar: What it must keep to.
        matcher: The state of its grammar while it is being written; ``None`` without a grammar.
        dice: Random numbers for draws; ``None`` to take the likeliest token.
    """

    question: list[int]
    stop: str | None
    answer: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    end: float | None = None
    finish: Literal["stop", "length", "error"] | None = None
    error: str | None = None
    grammar: str | None = None
    matcher: Any = None
    dice: random.Random | None = None

    @property
    def last(self) -> int:
        """The last token so far."""
        return self.answer[-1] if self.answer else self.question[-1]

    @property
    def done(self) -> bool:
        """Whether the answer has ended."""
        return self.finish is not None

    def take(self, token: int, logprob: float, ends: set[int], tokenizer: Any, limit: int) -> None:
        """Add one more token."""
        self._add(token, logprob, ends, tokenizer, limit)
        if self.done:
            # It has much memory, and many answers wait to be read.
            self.matcher = None

    def _add(self, token: int, logprob: float, ends: set[int], tokenizer: Any, limit: int) -> None:
        if token in ends:
            self.finish, self.end = "stop", logprob
            return
        self.answer.append(token)
        self.logprobs.append(logprob)
        if self.matcher is not None and not self.matcher.consume_token(token):
            self.finish = "error"
            reason = one_line(self.matcher.get_error())
            self.error = f"the grammar does not allow token {token}: {reason}"
            return
        if self.stop is not None and self.stop in tokenizer.decode(self.answer[-_TAIL_TOKENS:]):
            self.finish = "stop"
        elif len(self.answer) >= limit:
            self.finish = "length"

    def draft(self, count: int) -> list[int]:
        """Tokens that may come next: those that followed the same last tokens before.

        An answer repeats words of its question, and its own form.

        Args:
            count: How many tokens at most.
        """
        context = self.question + self.answer
        for length in _SAME:
            tail = context[-length:]
            for start in range(len(context) - length - 1, -1, -1):
                if context[start : start + length] == tail:
                    following = context[start + length : start + length + count]
                    if self.matcher is None:
                        return following
                    return following[: self.matcher.validate_tokens(following)]
        return []

    def reply(self, tokenizer: PreTrainedTokenizerBase) -> Reply:
        """The answer as text, with its tokens' places in it."""
        text = str(tokenizer.decode(self.answer, skip_special_tokens=True))
        if self.stop is not None:
            text = text.partition(self.stop)[0]
        stripped = text.strip()
        before = len(text) - len(text.lstrip())
        ends = [_length(tokenizer, self.answer[:count]) for count in range(1, len(self.answer) + 1)]
        tokens = placed(ends, self.logprobs, before, len(stripped))
        if self.end is not None:
            tokens += (Token(len(stripped), len(stripped), min(self.end, 0.0)),)
        return Reply(
            stripped,
            self.finish or "length",
            len(self.question),
            len(self.answer),
            self.error,
            tokens,
        )


def _length(tokenizer: PreTrainedTokenizerBase, tokens: list[int]) -> int:
    """How many whole code points some tokens decode to."""
    return len(str(tokenizer.decode(tokens, skip_special_tokens=True)).rstrip("\ufffd"))


def placed(
    ends: Sequence[int], logprobs: Sequence[float], before: int, length: int
) -> tuple[Token, ...]:
    """Tokens with their places in a reply.

    >>> placed([3, 5], [-0.5, -1.0], before=1, length=4)
    (Token(start=0, end=2, logprob=-0.5), Token(start=2, end=4, logprob=-1.0))

    Args:
        ends: For each token, how many whole code points the answer has after it.
        logprobs: The logarithm of each token's probability.
        before: Code points that were stripped off the front of the answer.
        length: Code points of the reply.
    """
    tokens = []
    start = 0
    for end, logprob in zip(ends, logprobs, strict=True):
        # A token without a whole character is part of the next character.
        stop = max(end, start + 1)
        left, right = (min(max(offset - before, 0), length) for offset in (start, stop))
        tokens.append(Token(left, right, min(logprob, 0.0)))
        start = max(start, end)
    return tuple(tokens)


class Grammars:
    """Compiles grammars for one tokenizer.

    Args:
        tokenizer: A fast tokenizer.
        vocabulary: How many tokens the model gives scores to.
        ends: The model's end tokens.

    Raises:
        MissingExtraError: llguidance is not installed.
        GenerationError: The tokenizer is not a fast one.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, vocabulary: int, ends: set[int]) -> None:
        try:
            import llguidance.hf
        except ImportError:
            raise MissingExtraError("local", "grounded answers") from None
        self._llguidance = llguidance
        try:
            self.tokens = _by_bytes(tokenizer, vocabulary, ends) or (
                llguidance.hf.from_tokenizer(tokenizer, vocabulary, sorted(ends), slices=[])
            )
        except ValueError as error:
            raise GenerationError(f"this model cannot follow a grammar: {error}") from error

    def matcher(self, grammar: str) -> Any:
        """A matcher at the beginning of a grammar.

        Raises:
            GenerationError: The grammar is not valid.
        """
        tokens = self._sliced if "%json" in grammar else self.tokens
        made = self._llguidance.LLMatcher(
            tokens, self._llguidance.LLMatcher.grammar_from_lark(grammar), log_level=0
        )
        if made.is_error():
            raise GenerationError(f"not a valid grammar: {made.get_error()}")
        return made

    @cached_property
    def _sliced(self) -> Any:
        """The tokens, sorted by what a string may hold.

        Sorting takes half a second. It pays where an answer may hold any words, as under a JSON
        schema; a stretch of a sentence is found as fast without it.
        """
        return self.tokens.with_slices(self._llguidance.LLTokenizer.general_slices())


class _ByteTokens:
    """A tokenizer as llguidance takes it: the bytes of every token."""

    def __init__(self, tokenizer: Any, tokens: list[bytes]) -> None:
        self.eos_token_id = tokenizer.eos_token_id
        self.bos_token_id = tokenizer.bos_token_id
        self.tokens = tokens
        # llguidance takes tags for special tokens too.
        self.special_token_ids = [
            number
            for number, token in tokenizer.added_tokens_decoder.items()
            if token.special or (token.content.startswith("<") and token.content.endswith(">"))
        ]
        self._tokenizer = tokenizer

    def __call__(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


# What Gemma, Llama 2 and others decode with: ▁ is a space, <0xEA> a byte, all the rest is itself.
_BYTE_FALLBACK = [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
]


def _by_bytes(tokenizer: Any, vocabulary: int, ends: set[int]) -> Any:
    """llguidance's tokenizer from the bytes of its tokens, in a third of the time.

    ``None`` if it is not known how these tokens are decoded.
    """
    import llguidance

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or backend.decoder is None:
        return None
    decoder = json.loads(backend.decoder.__getstate__())
    if decoder != {"type": "Sequence", "decoders": _BYTE_FALLBACK}:
        return None
    tokens = [b""] * vocabulary
    for text, number in backend.get_vocab(with_added_tokens=True).items():
        if number < vocabulary:
            is_byte = len(text) == len("<0x00>") and text.startswith("<0x")
            tokens[number] = (
                bytes([int(text[3:5], 16)]) if is_byte else text.replace("▁", " ").encode()
            )
    wrapper = llguidance.TokenizerWrapper(_ByteTokens(tokenizer, tokens))
    return llguidance.LLTokenizer(wrapper, n_vocab=vocabulary, eos_token=sorted(ends), slices=[])


def choose(
    answers: Sequence[Answer], scores: NextScores, ends: set[int], temperature: float
) -> list[tuple[int, float]]:
    """The next token of each answer, with the logarithm of its probability.

    Without a grammar it is a probability among all tokens, under one among the tokens that the
    grammar allows.

    Args:
        answers: The answers.
        scores: The scores of their next tokens, row by row.
        ends: The model's end tokens.
        temperature: The temperature of draws.
    """
    free = [row for row, answer in enumerate(answers) if answer.matcher is None]
    bound = [row for row, answer in enumerate(answers) if answer.matcher is not None]
    among_all = _among_all([answers[row] for row in free], scores.rows(free), temperature)
    among_allowed = _among_allowed(
        [answers[row] for row in bound], scores.rows(bound), ends, temperature
    )
    chosen = dict(zip([*free, *bound], [*among_all, *among_allowed], strict=True))
    return [chosen[row] for row in range(len(answers))]


def _among_all(
    answers: Sequence[Answer], scores: NextScores, temperature: float
) -> list[tuple[int, float]]:
    if not answers:
        return []
    every = scores.all()
    likeliest = every.argmax(-1).tolist()
    tokens = [
        likeliest[row] if answer.dice is None else _draw(every[row], answer.dice, temperature)
        for row, answer in enumerate(answers)
    ]
    logprobs = [float(row[token]) for row, token in zip(every, tokens, strict=True)]
    sums = normalizers(every).tolist()
    return [
        (token, logprob - total)
        for token, logprob, total in zip(tokens, logprobs, sums, strict=True)
    ]


def _among_allowed(
    answers: Sequence[Answer], scores: NextScores, ends: set[int], temperature: float
) -> list[tuple[int, float]]:
    if not answers:
        return []
    allowed = [_allowed(answer.matcher, ends) for answer in answers]
    chosen = []
    for answer, tokens, row in zip(answers, allowed, scores.of(allowed), strict=True):
        place = int(row.argmax()) if answer.dice is None else _draw(row, answer.dice, temperature)
        chosen.append((int(tokens[place]), float(row[place] - row.logsumexp(-1))))
    return chosen


def _allowed(matcher: Any, ends: set[int]) -> torch.Tensor:
    """The tokens that a grammar allows next, ascending; never none."""
    import torch

    mask = torch.frombuffer(bytearray(matcher.compute_bitmask()), dtype=torch.uint8)
    # Most bytes are zero: a few dozen of 262,144 tokens are allowed.
    places = mask.nonzero().flatten()
    bits = mask[places].unsqueeze(-1).bitwise_and(2 ** torch.arange(8, dtype=torch.uint8)).ne(0)
    tokens = (places.unsqueeze(-1) * 8 + torch.arange(8))[bits]
    # Of several end tokens, the mask may lack some.
    if matcher.is_accepting():
        tokens = torch.cat([tokens, torch.tensor(sorted(ends), dtype=tokens.dtype)]).unique()
    return tokens


def _draw(scores: torch.Tensor, dice: random.Random, temperature: float) -> int:
    """Draw a token by inverse transform, which takes one random number on every device."""
    import torch

    shares = torch.softmax(scores.double() / temperature, -1).cumsum(-1)
    token = int(torch.searchsorted(shares, dice.random() * float(shares[-1])))
    return min(token, len(shares) - 1)


def normalizers(scores: torch.Tensor) -> torch.Tensor:
    """The logarithm of each row's sum of exponentials: (batch, vocabulary) → (batch,)."""
    import torch

    return torch.cat([rows.logsumexp(-1) for rows in scores.split(_ROWS)])
