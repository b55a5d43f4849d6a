"""Where in a reply each mention stands: its surface, and the label it was given.

The readers mend what they read, so places are looked for afterwards, in the reply as it came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from llmner.markup import escape
from llmner.replies._interpret import LABEL_KEYS, TEXT_KEYS, normal_key
from llmner.replies._render import escape_line
from llmner.spans import Mention

__all__ = ["Place", "find_places"]

Place = tuple[tuple[int, int], tuple[int, int] | None]
"""Code points of a surface, with what ends it, and of its label if that could be found."""

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_COLON = re.compile(r"\s*:")


def find_places(reply: str, mentions: Sequence[Mention], format: str | None) -> list[Place | None]:
    """The place of each mention, in the reply's order; ``None`` for one that is not there as it was read.

    A surface's place takes in the character after it, or the end of the reply: that a name ends here is part
    of what was said. O(reply) for each mention at most.

    Args:
        reply: The raw reply.
        mentions: What it was read as.
        format: The format it was read as.
    """
    if format in ("json-by-type", "json-list"):
        return _in_json(reply, mentions, by_type=format == "json-by-type")
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
        places.append(((start, end + 1), None if label_of is None else label_of(reply, start, end)))
    return places


@dataclass(frozen=True, slots=True)
class _String:
    """A string of a JSON text: its inside, what it says, whether it is a key, and what it stands in."""

    start: int
    end: int
    text: str
    is_key: bool
    inside: int


def _strings(reply: str) -> list[_String]:
    """Every double-quoted string, with the number of the innermost bracket or brace around it."""
    found: list[_String] = []
    opened = [0]
    count = 0
    for match in _PIECE.finditer(reply):
        piece = match[0]
        if piece in "[{":
            count += 1
            opened.append(count)
        elif piece in "]}":
            if len(opened) > 1:
                opened.pop()
        else:
            try:
                text = str(json.loads(piece, strict=False))
            except ValueError:
                text = piece[1:-1]
            key = _COLON.match(reply, match.end()) is not None
            found.append(_String(match.start() + 1, match.end() - 1, text, key, opened[-1]))
    return found


def _in_json(reply: str, mentions: Sequence[Mention], *, by_type: bool) -> list[Place | None]:
    strings = _strings(reply)
    labels: dict[int, tuple[int, int]] = {}
    for key, value in pairwise(strings):
        if key.is_key and not value.is_key and normal_key(key.text) in LABEL_KEYS:
            labels.setdefault(key.inside, (value.start, value.end))
    places: list[Place | None] = []
    at = 0
    for mention in mentions:
        order = [*range(at, len(strings)), *range(at)]
        number = next((n for n in order if strings[n].text == mention.text and not strings[n].is_key), None)
        if number is None:
            raw = _surface(reply, mention.text, None, strings[at].start if at < len(strings) else 0)
            places.append(None if raw is None else ((raw[0], raw[1] + 1), None))
            continue
        held, at = strings[number], number + 1
        label = labels.get(held.inside)
        if label is None and by_type:
            keys = (s for s in reversed(strings[:number]) if s.is_key and normal_key(s.text) not in TEXT_KEYS)
            label = next(((key.start, key.end) for key in keys), None)
        places.append(((held.start, held.end + 1), label))
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
    if format == "pairs":
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


_LABELS: dict[str, Callable[[str, int, int], tuple[int, int] | None]] = {
    "lines": _before,
    "pairs": _after,
    "tagged": _after,
}
