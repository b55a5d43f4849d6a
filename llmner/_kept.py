"""A cache for functions of one string that caches short strings only.

The keys come from texts and replies, so they can be of any length. Limiting their number alone does
not limit memory: sixty thousand strings of several megabytes each do not fit into any machine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

__all__ = ["LONGEST", "kept"]

_T = TypeVar("_T")

LONGEST = 64
"""The longest string that is cached, in characters. Names, labels and quantities are shorter."""


def kept(maxsize: int) -> Callable[[Callable[[str], _T]], Callable[[str], _T]]:
    """Cache a function's results for the ``maxsize`` short strings it was called with last.

    Strings of more than :data:`LONGEST` characters are not cached.

    >>> @kept(2)
    ... def doubled(text):
    ...     print("computed")
    ...     return text * 2
    >>> doubled("a"), doubled("a")
    computed
    ('aa', 'aa')
    """

    def decorate(function: Callable[[str], _T]) -> Callable[[str], _T]:
        cached = lru_cache(maxsize)(function)

        @wraps(function)
        def wrapper(text: str) -> _T:
            return cached(text) if len(text) <= LONGEST else function(text)

        return wrapper

    return decorate
