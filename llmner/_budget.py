"""A budget of work: how much may be done for one reply, and a way to stop it from another thread.

Readers and projection spend from the budget wherever their work grows with their input.
"""

from __future__ import annotations

import sys

from llmner.errors import WorkLimitError

__all__ = ["UNBOUNDED", "Budget"]


class Budget:
    """Steps of work that reading and projecting one reply may take.

    A step is a small piece of work: reading one token of a reply, weighing one candidate place of
    a mention, searching a thousand characters. It takes about a microsecond on a current processor,
    give or take a factor of five. Steps are counted, not timed, so the same reply stops at the same
    step on every machine.

    Args:
        steps: The number of steps; ``None`` for no limit.

    Raises:
        ValueError: ``steps`` is negative.

    >>> from llmner import project
    >>> from llmner.spans import Mention
    >>> budget = Budget(1_000)
    >>> project("손흥민은 춘천에서", [Mention("PS", "손흥민")], budget=budget).spans
    (Span('손흥민', 'PS', start=0, end=3),)
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
            WorkLimitError: The budget is used up, or :meth:`end` was called.

        >>> Budget(10).spend(11)
        Traceback (most recent call last):
        llmner.errors.WorkLimitError: takes more than 10 steps of work
        """
        self.spent += steps
        if self.spent > self._limit:
            ended = self._limit < 0
            raise WorkLimitError(
                "ended from outside" if ended else f"takes more than {self._limit} steps of work"
            )

    def end(self) -> None:
        """Make the next step raise. Another thread may call this; it does not wait."""
        self._limit = -1


class _Unbounded(Budget):
    """A budget that counts nothing, for callers that did not give one."""

    __slots__ = ()

    def spend(self, steps: int = 1) -> None:
        pass

    def end(self) -> None:
        raise TypeError("this budget is shared and cannot be ended; make your own Budget")


UNBOUNDED = _Unbounded()
"""The budget that is used where none is given."""
