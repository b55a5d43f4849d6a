"""A budget of work: how much may be done for one reply, and a way to end it from another thread.

Readers and projection spend from it wherever they do work that grows with what they were given. It
knows neither.
"""

from __future__ import annotations

import sys

from llmner.errors import WorkLimitError

__all__ = ["UNBOUNDED", "Budget"]


class Budget:
    """Steps of work that reading and projecting one reply may take.

    A step is one small thing done: a token of a reply read, a place of a mention weighed, a
    thousand characters searched. It takes about a microsecond on a processor of today, give or take
    a factor of five. Steps are counted and not timed, so the same reply ends at the same step on
    any machine.

    Args:
        steps: How many; ``None`` for as many as it takes.

    Raises:
        ValueError: ``steps`` is negative.

    >>> from llmner import project
    >>> from llmner.spans import Mention
    >>> budget = Budget(1_000)
    >>> project("손흥민은 춘천에서", [Mention("PS", "손흥민")], budget=budget).spans
    (Span(start=0, end=3, label='PS', score=None),)
    >>> 0 < budget.spent < 1_000
    True
    """

    __slots__ = ("_limit", "spent")

    def __init__(self, steps: int | None = None) -> None:
        if steps is not None and steps < 0:
            raise ValueError(f"steps must not be negative, got {steps}")
        self.spent = 0
        self._limit = sys.maxsize if steps is None else steps

    def spend(self, steps: int = 1) -> None:
        """Count ``steps`` as done.

        Raises:
            WorkLimitError: More was done than the budget has, or it was ended.
        """
        self.spent += steps
        if self.spent > self._limit:
            ended = self._limit < 0
            raise WorkLimitError(
                "ended from outside" if ended else f"takes more than {self._limit} steps of work"
            )

    def end(self) -> None:
        """Let the next step raise; for another thread, which does not wait for it."""
        self._limit = -1


class _Unbounded(Budget):
    """A budget that counts nothing, for callers that gave none."""

    __slots__ = ()

    def spend(self, steps: int = 1) -> None:
        pass

    def end(self) -> None:
        raise TypeError("this budget is everybody's; make one of your own to end it")


UNBOUNDED = _Unbounded()
"""What is used where no budget was given."""
