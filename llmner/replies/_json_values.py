"""The values that JSON in a reply is parsed into."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["MAX_DEPTH", "Number", "Pairs", "ParsedValue"]

MAX_DEPTH = 100
"""Values that are nested deeper are cut off: they are read by recursion."""


class Pairs(list[tuple[Any, Any]]):
    """A JSON object as (key, value) pairs, duplicate keys included.

    An element without a colon, as in ``{"a", "b"}``, has the key ``None``.
    """

    def to_dict(self) -> dict[str, Any]:
        """The object as a plain one, whose keys are strings; of duplicate keys, the last."""
        return {str(key): value for key, value in self}


class Number(str):
    """A JSON number as it was written, so that 3.10 does not become 3.1.

    A class of its own tells it from a string.
    """

    __slots__ = ()


@dataclass(slots=True)
class ParsedValue:
    """One top-level object or list of a text.

    Attributes:
        value: ``Pairs``, lists, strings, :class:`Number`, ``bool`` and ``None``.
        start: Its first character in the text.
        end: One past its last character.
        complete: Whether every bracket was closed.
        repairs: The kinds of repair that parsing it took.
    """

    value: Any
    start: int
    end: int
    complete: bool = True
    repairs: list[str] = field(default_factory=list)
