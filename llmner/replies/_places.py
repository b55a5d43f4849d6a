"""Where in a reply each mention stands: its surface, and the label it was given.

The readers mend what they read, so places are looked for afterwards, in the reply as it came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence

from llmner.markup import escape
from llmner.replies._render import escape_line
from llmner.spans import Mention

__all__ = ["Place", "find_places"]

Place = tuple[tuple[int, int], tuple[int, int] | None]
"""Code points of a surface, with what ends it, and of its label if that could be found."""

_KEY = re.compile(r'"((?:[^"\\\n]|\\.)*)"\s*:')
_LABEL_KEY = re.compile(r'"(?:label|type|entity_type|category|tag)"\s*:\s*"([^"\n]*)"')


def find_places(reply: str, mentions: Sequence[Mention], format: str | None) -> list[Place | None]:
    """The place of each mention, in the reply's order; ``None`` for one that is not there as it was read.

    A surface's place takes in the character after it: that a name ends here is part of what was said. O(reply)
    for each format's way of writing, and at most O(reply) for each mention that was written otherwise.

    Args:
        reply: The raw reply.
        mentions: What it was read as.
        format: The format it was read as.
    """
    label_of = _LABELS.get(format or "")
    places: list[Place | None] = []
    at = 0
    for mention in mentions:
        found = _surface(reply, mention.text, format, at)
        if found is None:
            places.append(None)
            continue
        start, end = found
        at = end
        label = None if label_of is None else label_of(reply, start, end)
        places.append(((start, min(end + 1, len(reply))), label))
    return places


def _surface(reply: str, text: str, format: str | None, at: int) -> tuple[int, int] | None:
    """The next place of a surface as the format writes it, else as it stands; else the same from the start."""
    for begin in (at, 0) if at else (0,):
        for before, written, after in _written(text, format):
            found = reply.find(before + written + after, begin)
            if found >= 0:
                start = found + len(before)
                return start, start + len(written)
    return None


def _written(text: str, format: str | None) -> Iterator[tuple[str, str, str]]:
    """A surface as it may stand in a reply, with what goes before and after it, the surest first."""
    if format in ("json-by-type", "json-list"):
        for ascii_only in (False, True):
            yield '"', json.dumps(text, ensure_ascii=ascii_only)[1:-1], '"'
    elif format == "pairs":
        yield "", escape_line(text), "\t"
    elif format == "lines":
        yield "\t", escape_line(text), ""
    elif format == "tagged":
        yield "<", escape(text), ":"
    if text:
        yield "", text, ""


def _after(reply: str, start: int, end: int) -> tuple[int, int] | None:
    """Up to the end of the line or of the tag."""
    until = end + 1
    while until < len(reply) and reply[until] not in "\n>":
        until += 1
    return (end + 1, until) if until > end + 1 else None


def _before(reply: str, start: int, end: int) -> tuple[int, int] | None:
    """From the beginning of the line to the tab."""
    begin = reply.rfind("\n", 0, start) + 1
    return (begin, start) if begin < start else None


def _key_before(reply: str, start: int, end: int) -> tuple[int, int] | None:
    """The key of the list that a surface stands in."""
    bracket = reply.rfind("[", 0, start)
    last = None
    for match in _KEY.finditer(reply, max(0, bracket - 80), max(bracket, 0)):
        last = match.span(1)
    return last


def _beside(reply: str, start: int, end: int) -> tuple[int, int] | None:
    """The label of the object that a surface stands in."""
    opening, closing = reply.rfind("{", 0, start), reply.find("}", end)
    match = _LABEL_KEY.search(reply, max(opening, 0), closing if closing >= 0 else len(reply))
    return None if match is None else match.span(1)


_LABELS: dict[str, Callable[[str, int, int], tuple[int, int] | None]] = {
    "json-by-type": _key_before,
    "json-list": _beside,
    "lines": _before,
    "pairs": _after,
    "tagged": _after,
}
