"""Where in a reply each mention stands: its surface, and the label it was given.

The readers mend what they read, so places are looked for afterwards, in the reply as it came. How a
surface is written and which way its label lies is each format's to say.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from llmner.replies._interpret import LABEL_KEYS, TEXT_KEYS, normal_key
from llmner.replies._types import Place
from llmner.spans import Mention

__all__ = ["before_on_line", "behind", "places_in_json", "places_of"]

Written = Callable[[str], tuple[str, str, str]]
LabelOf = Callable[[str, int, int], tuple[int, int] | None]

# What may be searched in vain: so often the whole reply, and so many characters on top.
_LOOKS = 100
_CHARACTERS = 1_000_000
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*+(")?|[\[\]{}]', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_COLON = re.compile(r"\s*:")


def places_of(
    reply: str,
    mentions: Sequence[Mention],
    written: Written | None = None,
    label_of: LabelOf | None = None,
) -> list[Place | None]:
    """The place of each mention of a reply that is no JSON; see :func:`llmner.replies.find_places`.

    Args:
        reply: The raw reply.
        mentions: What it was read as.
        written: A surface as the format writes it, with what goes before and after it. A surface
            that does not stand in the reply in this way is looked for as it is.
        label_of: From the reply and the ends of a surface to its label's.
    """
    places: list[Place | None] = []
    search = _Search(reply, written)
    at = 0
    for mention in mentions:
        found = search.surface(mention.text, at)
        if found is None:
            places.append(None)
            continue
        start, end = found
        at = end
        places.append(((start, end + 1), None if label_of is None else label_of(reply, start, end)))
    return places


def behind(reply: str, start: int, end: int) -> tuple[int, int] | None:
    """The label behind a surface and a character: up to the end of the line or of the tag."""
    until = end + 1
    while until < len(reply) and reply[until] not in "\n>":
        until += 1
    return (end + 1, until) if until > end + 1 else None


def before_on_line(reply: str, start: int, end: int) -> tuple[int, int] | None:
    """The label before a surface: from the beginning of the line to the tab."""
    begin = reply.rfind("\n", 0, start) + 1
    return (begin, start) if begin < start else None


@dataclass(frozen=True, slots=True)
class _String:
    """A string of a JSON text: its inside, what it says, whether it is a key, and what it stands
    in.
    """

    start: int
    end: int
    text: str
    is_key: bool
    inside: int


def _pieces(reply: str) -> Iterator[re.Match[str]]:
    """Whole strings and brackets. Behind a string that never ends none of the others does, and they
    are no longer looked for.
    """
    pattern, at = _PIECE, 0
    while (match := pattern.search(reply, at)) is not None:
        if pattern is _PIECE and reply[match.start()] == '"' and match[1] is None:
            pattern, at = _BRACKET, match.start() + 1
        else:
            at = match.end()
            yield match


def _strings(reply: str) -> list[_String]:
    """Every double-quoted string, with the number of the innermost bracket or brace around it."""
    found: list[_String] = []
    opened = [0]
    count = 0
    for match in _pieces(reply):
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


def places_in_json(reply: str, mentions: Sequence[Mention], *, by_type: bool) -> list[Place | None]:
    """The place of each mention of a reply in JSON; see :func:`llmner.replies.find_places`.

    Args:
        reply: The raw reply.
        mentions: What it was read as.
        by_type: Whether a label is the key of what stands under it.
    """
    strings = _strings(reply)
    search = _Search(reply)
    # Where each text is said, and for each string the nearest key before it that is no text's.
    said: dict[str, list[int]] = {}
    key_before: list[int | None] = []
    key_number: int | None = None
    for number, string in enumerate(strings):
        key_before.append(key_number)
        if not string.is_key:
            said.setdefault(string.text, []).append(number)
        elif normal_key(string.text) not in TEXT_KEYS:
            key_number = number
    labels: dict[int, tuple[int, int]] = {}
    for key, value in pairwise(strings):
        if key.is_key and not value.is_key and normal_key(key.text) in LABEL_KEYS:
            labels.setdefault(key.inside, (value.start, value.end))
    places: list[Place | None] = []
    at = 0
    for mention in mentions:
        numbers = said.get(mention.text)
        if numbers is None:
            raw = search.surface(mention.text, strings[at].start if at < len(strings) else 0)
            places.append(None if raw is None else ((raw[0], raw[1] + 1), None))
            continue
        # The next one that says so, else the first.
        number = numbers[bisect_left(numbers, at) % len(numbers)]
        held, at = strings[number], number + 1
        label = labels.get(held.inside)
        before = key_before[number]
        if label is None and by_type and before is not None:
            label = strings[before].start, strings[before].end
        places.append(((held.start, held.end + 1), label))
    return places


class _Search:
    """Looks for surfaces in a reply, and stops looking for what is not there before it takes
    long.
    """

    def __init__(self, reply: str, written: Written | None = None) -> None:
        self.reply = reply
        self.written = written
        self._left = _LOOKS * len(reply) + _CHARACTERS

    def surface(self, text: str, at: int) -> tuple[int, int] | None:
        """The next place of a surface, as the format writes it or as it stands; else the first
        there is.
        """
        forms = [] if self.written is None else [self.written(text)]
        if text:
            forms.append(("", text, ""))
        for begin in (at, 0) if at else (0,):
            for before, written, after in forms:
                if self._left < 0:
                    return None
                found = self.reply.find(before + written + after, begin)
                self._left -= (len(self.reply) if found < 0 else found) - begin
                if found >= 0:
                    start = found + len(before)
                    return start, start + len(written)
        return None
