"""Decoding token by token: the state of each answer, and which token comes next.

Greedy or drawn, with a grammar or without. Nothing here depends on the rest of the batch.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from llmner._mishaps import one_line
from llmner.engines._types import Reply, Token
from llmner.errors import GenerationError, MissingExtraError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

__all__ = ["Answer", "Grammars", "choose", "normalizers", "placed"]

# The stop string is looked for in this many last tokens; a stop of a few characters fits in.
_TAIL_TOKENS = 8
# Rows of scores that are summed at a time. All rows at once would need as much memory again.
_ROWS = 8


@dataclass(slots=True)
class Answer:
    """A question and its answer so far.

    Attributes:
        question: The tokens of the question.
        stop: A string that ends the answer, besides the model's own end tokens.
        answer: The tokens of the answer so far.
        logprobs: The logarithm of each answer token's probability among all tokens.
        end: The logarithm of the end token's probability, if one ended the answer.
        finish: Why the answer ended, or ``None`` while it goes on.
        error: Why there is no answer.
        matcher: The state of its grammar; ``None`` without a grammar.
        dice: Random numbers for draws; ``None`` to take the likeliest token.
    """

    question: list[int]
    stop: str | None
    answer: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    end: float | None = None
    finish: Literal["stop", "length", "error"] | None = None
    error: str | None = None
    matcher: Any = None
    dice: random.Random | None = None

    @property
    def done(self) -> bool:
        """Whether the answer has ended."""
        return self.finish is not None

    def take(self, token: int, logprob: float, ends: set[int], tokenizer: Any, limit: int) -> None:
        """Add one more token."""
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
            self._tokens = llguidance.hf.from_tokenizer(tokenizer, vocabulary, sorted(ends))
        except ValueError as error:
            raise GenerationError(f"this model cannot follow a grammar: {error}") from error

    def matcher(self, grammar: str) -> Any:
        """A matcher at the beginning of a grammar.

        Raises:
            GenerationError: The grammar is not valid.
        """
        made = self._llguidance.LLMatcher(
            self._tokens, self._llguidance.LLMatcher.grammar_from_lark(grammar), log_level=0
        )
        if made.is_error():
            raise GenerationError(f"not a valid grammar: {made.get_error()}")
        return made


def choose(
    batch: Sequence[Answer], scores: torch.Tensor, ends: set[int], temperature: float
) -> torch.Tensor:
    """Change the scores so that each row's highest one is a token the answer may go on with.

    The grammar nearly always allows the likeliest token, so the mask of all allowed tokens is made
    only if it does not. A draw is first made from all tokens. If the grammar forbids it, a second
    draw is made from the allowed tokens. That gives the same distribution as drawing from the
    allowed tokens only.

    Args:
        batch: The answers.
        scores: (batch, vocabulary), the model's raw scores; changed in place.
        ends: The model's end tokens.
        temperature: The temperature of draws.
    """
    import torch

    likeliest = scores.argmax(-1).tolist()
    for row, answer in enumerate(batch):
        if answer.done:
            continue
        dice, matcher = answer.dice, answer.matcher
        token = likeliest[row] if dice is None else _draw(scores[row], dice, temperature)
        if matcher is not None and not _is_allowed(matcher, token, ends):
            mask = torch.frombuffer(bytearray(matcher.compute_bitmask()), dtype=torch.uint8)
            bits = (
                mask.unsqueeze(-1)
                .bitwise_and(2 ** torch.arange(8, dtype=torch.uint8))
                .ne(0)
                .flatten()
            )
            forbidden = torch.ones(scores.shape[-1], dtype=torch.bool)
            width = min(len(bits), len(forbidden))
            forbidden[:width] = ~bits[:width]
            scores[row].masked_fill_(forbidden.to(scores.device), -math.inf)
            if dice is not None:
                token = _draw(scores[row], dice, temperature)
        if dice is not None:
            score = scores[row, token].clone()
            scores[row].fill_(-math.inf)
            scores[row, token] = score
    return scores


def _is_allowed(matcher: Any, token: int, ends: set[int]) -> bool:
    if token in ends:
        return bool(matcher.is_accepting())
    return bool(matcher.validate_tokens([token]) == 1)


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
