"""Answering token by token: what each answer has so far, what it may go on with, and how sure the
model is.

Greedy, or one draw; kept to a grammar, or free. Nothing here depends on what else is in the batch.
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

# The end of an answer is looked for in its last tokens only; a stop of a few characters fits in.
_TAIL_TOKENS = 8
# Rows of the vocabulary's width that are summed up together; all at once would take as much memory
# again.
_ROWS = 8


@dataclass(slots=True)
class Answer:
    """One question and as much of its answer as there is.

    Attributes:
        question: Its tokens.
        stop: Ends the answer besides the model's own end tokens.
        answer: The tokens so far.
        logprobs: The logarithm of each one's probability among all tokens.
        end: The logarithm of the probability of the end token, where one ended it.
        finish: Why it ended, or ``None`` while it goes on.
        error: Why there is none.
        matcher: Where its grammar stands; ``None`` for a free answer.
        dice: What a draw is made with; ``None`` for the likeliest token.
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
        """Whether it has ended."""
        return self.finish is not None

    def take(self, token: int, logprob: float, ends: set[int], tokenizer: Any, limit: int) -> None:
        """One more token."""
        if token in ends:
            self.finish, self.end = "stop", logprob
            return
        self.answer.append(token)
        self.logprobs.append(logprob)
        if self.matcher is not None and not self.matcher.consume_token(token):
            self.finish = "error"
            why = one_line(self.matcher.get_error())
            self.error = f"token {token} is none that the grammar allows: {why}"
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
        ends = [_length(tokenizer, self.answer[: at + 1]) for at in range(len(self.answer))]
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
    """Code points of whole characters that some tokens make."""
    return len(str(tokenizer.decode(tokens, skip_special_tokens=True)).rstrip("\ufffd"))


def placed(
    ends: Sequence[int], logprobs: Sequence[float], before: int, length: int
) -> tuple[Token, ...]:
    """Tokens with their places in a reply.

    Args:
        ends: How many whole code points there are after each token.
        logprobs: Theirs.
        before: Code points that were taken off the reply's front.
        length: Code points of the reply.
    """
    tokens = []
    start = 0
    for end, logprob in zip(ends, logprobs, strict=True):
        # A token without a whole character is part of the one that follows.
        reach = max(end, start + 1)
        left, right = (min(max(at - before, 0), length) for at in (start, reach))
        tokens.append(Token(left, right, min(logprob, 0.0)))
        start = max(start, end)
    return tuple(tokens)


class Grammars:
    """Makes matchers of grammars for one tokenizer.

    Args:
        tokenizer: A fast tokenizer.
        words: Width of the model's output.
        ends: The model's end tokens.

    Raises:
        MissingExtraError: llguidance is not installed.
        GenerationError: The tokenizer is not a fast one.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, words: int, ends: set[int]) -> None:
        try:
            import llguidance.hf
        except ImportError:
            raise MissingExtraError("local", "grounded answers") from None
        self._llguidance = llguidance
        try:
            self._tokens = llguidance.hf.from_tokenizer(tokenizer, words, sorted(ends))
        except ValueError as error:
            raise GenerationError(
                f"answers of this model cannot be kept to a grammar: {error}"
            ) from error

    def matcher(self, grammar: str) -> Any:
        """A grammar at its beginning.

        Raises:
            GenerationError: It is none.
        """
        made = self._llguidance.LLMatcher(
            self._tokens, self._llguidance.LLMatcher.grammar_from_lark(grammar), log_level=0
        )
        if made.is_error():
            raise GenerationError(f"not a grammar: {made.get_error()}")
        return made


def choose(
    batch: Sequence[Answer], scores: torch.Tensor, ends: set[int], temperature: float
) -> torch.Tensor:
    """Leave one token a row to choose where the likeliest may not be, or is not to be, chosen.

    The likeliest token is nearly always one that the grammar allows; the mask of all allowed tokens
    is only made where it is not. A draw is made from all tokens first and from the allowed ones if
    it is none of them, which gives the distribution of drawing from the allowed ones.

    Args:
        batch: The answers.
        scores: (batch, vocabulary), the model's raw scores; changed in place.
        ends: The model's end tokens.
        temperature: Of draws.
    """
    import torch

    likeliest = scores.argmax(-1).tolist()
    for row, each in enumerate(batch):
        if each.done:
            continue
        token = likeliest[row] if each.dice is None else _draw(scores[row], each.dice, temperature)
        if each.matcher is not None and not _allowed(each.matcher, token, ends):
            mask = torch.frombuffer(bytearray(each.matcher.compute_bitmask()), dtype=torch.uint8)
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
            if each.dice is not None:
                token = _draw(scores[row], each.dice, temperature)
        if each.dice is not None:
            kept = scores[row, token].clone()
            scores[row].fill_(-math.inf)
            scores[row, token] = kept
    return scores


def _allowed(matcher: Any, token: int, ends: set[int]) -> bool:
    if token in ends:
        return bool(matcher.is_accepting())
    return bool(matcher.validate_tokens([token]) == 1)


def _draw(scores: torch.Tensor, dice: random.Random, temperature: float) -> int:
    """One token by inverse transform: the draw needs one random number, whatever the device."""
    import torch

    shares = torch.softmax(scores.double() / temperature, -1).cumsum(-1)
    at = int(torch.searchsorted(shares, dice.random() * float(shares[-1])))
    return min(at, len(shares) - 1)


def normalizers(scores: torch.Tensor) -> torch.Tensor:
    """The logarithm of each row's sum of exponentials: (batch, vocabulary) → (batch,)."""
    import torch

    return torch.cat([rows.logsumexp(-1) for rows in scores.split(_ROWS)])
