"""Who watches an extraction: it is told when asking begins, and of each sentence with its answers.

What extracts is far below what shows a progress bar. So the watcher of a ``with`` block is looked
up where it is needed, and no function in between passes it on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Protocol

__all__ = ["Watcher", "watcher", "watching"]


class Watcher(Protocol):
    """Is told how far an extraction is.

    >>> class Count:
    ...     answers = 0
    ...     def begin(self):
    ...         self.answers = 0
    ...     def answer(self):
    ...         self.answers += 1
    >>> count: Watcher = Count()
    """

    def begin(self) -> None:
        """Questions will be asked from now on: what has to be loaded is loaded."""
        ...

    def answer(self) -> None:
        """One more sentence has all its answers; its row may wait for that of an earlier one."""
        ...


class _Nobody:
    def begin(self) -> None: ...

    def answer(self) -> None: ...


_NOBODY: Final[Watcher] = _Nobody()
_watcher: ContextVar[Watcher] = ContextVar("watcher", default=_NOBODY)


def watcher() -> Watcher:
    """The watcher of the innermost ``with watching(...)`` block; outside of any, nobody.

    >>> watcher().answer()
    """
    return _watcher.get()


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Have a watcher told of every extraction in the block.

    Threads that the block starts have no watcher, unless they get a copy of its context.
    """
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)
