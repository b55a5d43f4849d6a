"""A batch of answers that are written together, token by token.

Answers leave the batch as they end, and further questions join it. So no answer waits for a longer
one, and nothing is read twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from llmner.engines._cache import RowCache, new_cache
from llmner.engines._decoding import Answer, choose
from llmner.engines._denormals import denormals_flushed
from llmner.engines._scores import LanguageModel, NextScores

__all__ = ["Batch"]

_DRAFT = 4
"""Tokens guessed at once for an answer that is alone."""

_SHARE = 4
"""Finished answers stay in the batch until one in so many is finished: leaving copies the rest."""


class Batch:
    """Answers in the making.

    Args:
        model: The model.
        tokenizer: Its tokenizer, for answers that end with a string.
        ends: The tokens that end an answer.
        limit: Tokens of the longest answer.
        temperature: The temperature of draws.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Any,
        *,
        ends: set[int],
        limit: int,
        temperature: float,
    ) -> None:
        self.answers: list[Answer] = []
        self._model = model
        self._tokenizer = tokenizer
        self._ends = ends
        self._limit = limit
        self._temperature = temperature
        self._cache: Any = None
        self._mask = torch.empty(0, 0, dtype=torch.long)

    @property
    def going(self) -> list[Answer]:
        """The answers that have not ended."""
        return [answer for answer in self.answers if not answer.done]

    @property
    def is_open(self) -> bool:
        """Whether further questions can join."""
        return not self.answers or isinstance(self._cache, RowCache)

    def read(self, answers: Sequence[Answer]) -> None:
        """Read further questions, and choose the first token of each answer."""
        questions = [answer.question for answer in answers]
        width = max(map(len, questions))
        # It is masked, so that any token would do.
        pad = self._tokenizer.pad_token_id or 0
        device = self._model.device
        tokens = torch.tensor(
            [[pad] * (width - len(row)) + row for row in questions], device=device
        )
        mask = torch.tensor(
            [[0] * (width - len(row)) + [1] * len(row) for row in questions], device=device
        )
        cache = new_cache(self._model.model)
        self._choose(answers, self._read(tokens, mask, cache))
        if not self.answers:
            self.answers, self._cache, self._mask = list(answers), cache, mask
        else:
            self._compact()
            self.answers += answers
            self._cache.join(cache)
            self._mask = _stacked(self._mask, mask)
        self._leave()

    def step(self) -> None:
        """Choose the next token of every answer, or several of an answer that is alone."""
        drafts = self._drafts()
        rows = [[answer.last] for answer in self.answers]
        if drafts:
            rows[0] += drafts
        tokens = torch.tensor(rows, device=self._model.device)
        self._mask = torch.nn.functional.pad(self._mask, (0, tokens.shape[1]), value=1)
        scores = self._read(tokens, self._mask, self._cache, tokens.shape[1])
        if drafts:
            self._check(drafts, scores)
        else:
            self._choose(self.answers, scores)
        self._leave()

    def _read(
        self, tokens: torch.Tensor, mask: torch.Tensor, cache: Any, last: int = 1
    ) -> NextScores:
        with torch.inference_mode(), denormals_flushed():
            return self._model.read(tokens, mask, cache, last)

    def _choose(self, answers: Sequence[Answer], scores: NextScores) -> None:
        """Give each answer its next token; finished ones get none."""
        rows = [row for row, answer in enumerate(answers) if not answer.done]
        going = [answers[row] for row in rows]
        with torch.inference_mode(), denormals_flushed():
            choices = choose(going, scores.rows(rows), self._ends, self._temperature)
        for answer, choice in zip(going, choices, strict=True):
            answer.take(*choice, self._ends, self._tokenizer, self._limit)

    def _drafts(self) -> list[int]:
        """Tokens that may follow the last one, if one answer is alone."""
        if len(self.answers) > 1 or not isinstance(self._cache, RowCache):
            return []
        return self.answers[0].draft(min(_DRAFT, self._limit - len(self.answers[0].answer) - 1))

    def _check(self, drafts: Sequence[int], scores: NextScores) -> None:
        """Take the drafted tokens as far as they are right, and the first that differs."""
        (answer,) = self.answers
        for place in range(len(drafts) + 1):
            self._choose(self.answers, scores.rows([place]))
            if answer.done or place == len(drafts):
                return
            if answer.last != drafts[place]:
                wrong = len(drafts) - place
                self._cache.drop_last(wrong)
                self._mask = self._mask[:, :-wrong]
                return

    def _leave(self) -> None:
        """Let finished answers go, once there are enough of them."""
        done = len(self.answers) - len(self.going)
        if done == len(self.answers):
            self.answers, self._cache = [], None
        elif isinstance(self._cache, RowCache) and done * _SHARE >= len(self.answers):
            self._compact()

    def _compact(self) -> None:
        """Keep the answers that have not ended, without padding that all of them have."""
        rows = [row for row, answer in enumerate(self.answers) if not answer.done]
        if len(rows) == len(self.answers):
            return
        self.answers = [self.answers[row] for row in rows]
        mask = self._mask[rows]
        first = int(mask.any(0).int().argmax())
        self._mask = mask[:, first:]
        self._cache.take(rows, first)


def _stacked(upper: torch.Tensor, lower: torch.Tensor) -> torch.Tensor:
    """Masks below one another, padded on the left to the same number of tokens."""
    tokens = max(upper.shape[1], lower.shape[1])
    return torch.cat(
        [torch.nn.functional.pad(mask, (tokens - mask.shape[1], 0)) for mask in (upper, lower)]
    )
