"""A cache for functions of one string, which keeps what is short.

Keys come from texts and replies. A count alone does not bound a cache of them: sixty thousand
strings of some megabytes each are more than any machine has.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

__all__ = ["LONGEST", "kept"]

_T = TypeVar("_T")

LONGEST = 64
"""Characters of the longest string that is kept: names, labels and quantities are shorter."""


def kept(maxsize: int) -> Callable[[Callable[[str], _T]], Callable[[str], _T]]:
    """Keep what a function makes of the ``maxsize`` strings that came last, of those with few
    characters.

    >>> @kept(2)
    ... def doubled(text):
    ...     print("made")
    ...     return text * 2
    >>> doubled("a"), doubled("a")
    made
    ('aa', 'aa')
    """

    def decorate(function: Callable[[str], _T]) -> Callable[[str], _T]:
        cached = lru_cache(maxsize)(function)

        @wraps(function)
        def wrapper(text: str) -> _T:
            return cached(text) if len(text) <= LONGEST else function(text)

        return wrapper

    return decorate
