"""Finding each mention in a reply: where its surface stands, and where its label.

Readers repair what they read, so places are searched for afterwards, in the raw reply. Each format
says how it writes a surface and on which side of it the label stands.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from llmner.replies._interpret import LABEL_KEYS, TEXT_KEYS, normalize_key
from llmner.replies._types import Place
from llmner.spans import Mention

__all__ = ["label_after", "label_before", "places_in_json", "places_of"]

# From a surface to what stands before it, the surface as it is written, and what stands after it.
WriteSurface = Callable[[str], tuple[str, str, str]]
# From a reply and the range of a surface to the range of its label.
FindLabel = Callable[[str, int, int], tuple[int, int] | None]

# How many characters may be searched for one reply: its length so many times, and so many more.
_MAX_SCANS = 100
_MAX_EXTRA_CHARACTERS = 1_000_000
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(")?|[\[\]{}]', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_COLON = re.compile(r"\s*:")


def places_of(
    reply: str,
    mentions: Sequence[Mention],
    write_surface: WriteSurface | None = None,
    find_label: FindLabel | None = None,
) -> list[Place | None]:
    """The place of each mention of a reply that is no JSON.

    See :func:`llmner.replies.find_places`.

    Args:
        reply: The raw reply.
        mentions: The mentions that were read from it.
        write_surface: Writes a surface as the format does, with what stands before and after it. A
            surface that the reply does not write in this way is searched for as it is.
        find_label: From the reply and the range of a surface to the range of its label.
    """
    places: list[Place | None] = []
    search = _Search(reply, write_surface)
    position = 0
    for mention in mentions:
        surface = search.find_surface(mention.text, position)
        if surface is None:
            places.append(None)
            continue
        start, end = surface
        position = end
        label = None if find_label is None else find_label(reply, start, end)
        places.append(((start, end + 1), label))
    return places


def label_after(reply: str, start: int, end: int) -> tuple[int, int] | None:
    """The label after a surface and one more character, to the end of the line or of the tag."""
    label_end = end + 1
    while label_end < len(reply) and reply[label_end] not in "\n>":
        label_end += 1
    return (end + 1, label_end) if label_end > end + 1 else None


def label_before(reply: str, start: int, end: int) -> tuple[int, int] | None:
    """The label before a surface, from the beginning of its line."""
    line_start = reply.rfind("\n", 0, start) + 1
    return (line_start, start) if line_start < start else None


@dataclass(frozen=True, slots=True)
class _String:
    """A string in a JSON text.

    Attributes:
        start: Its first character after the opening quote.
        end: Its closing quote.
        text: The string without escapes.
        is_key: Whether a colon follows.
        bracket: The number of the innermost bracket around it.
    """

    start: int
    end: int
    text: str
    is_key: bool
    bracket: int


def _tokens(reply: str) -> Iterator[re.Match[str]]:
    """Whole strings and brackets, in order.

    A string without an end is skipped, and no more strings are searched for after it: none of them
    could have an end either.
    """
    pattern, position = _TOKEN, 0
    while (match := pattern.search(reply, position)) is not None:
        if pattern is _TOKEN and reply[match.start()] == '"' and match[1] is None:
            pattern, position = _BRACKET, match.start() + 1
        else:
            position = match.end()
            yield match


def _strings(reply: str) -> list[_String]:
    """Every string in double quotes."""
    strings: list[_String] = []
    open_brackets = [0]
    count = 0
    for match in _tokens(reply):
        token = match[0]
        if token in "[{":
            count += 1
            open_brackets.append(count)
        elif token in "]}":
            if len(open_brackets) > 1:
                open_brackets.pop()
        else:
            try:
                text = str(json.loads(token, strict=False))
            except ValueError:
                text = token[1:-1]
            is_key = _COLON.match(reply, match.end()) is not None
            strings.append(
                _String(match.start() + 1, match.end() - 1, text, is_key, open_brackets[-1])
            )
    return strings


def places_in_json(reply: str, mentions: Sequence[Mention], *, by_type: bool) -> list[Place | None]:
    """The place of each mention of a reply in JSON.

    See :func:`llmner.replies.find_places`.

    Args:
        reply: The raw reply.
        mentions: The mentions that were read from it.
        by_type: Whether the label is the key of the surfaces under it.
    """
    strings = _strings(reply)
    search = _Search(reply)
    # Text -> the numbers of the strings with this text.
    numbers_of: dict[str, list[int]] = {}
    # For each string, the number of the last key before it that may be a label.
    key_before: list[int | None] = []
    last_key: int | None = None
    for number, string in enumerate(strings):
        key_before.append(last_key)
        if not string.is_key:
            numbers_of.setdefault(string.text, []).append(number)
        elif normalize_key(string.text) not in TEXT_KEYS:
            last_key = number
    # Number of a bracket -> the label in it, as in {"label": "PS", ...}.
    labels: dict[int, tuple[int, int]] = {}
    for key, value in pairwise(strings):
        if key.is_key and not value.is_key and normalize_key(key.text) in LABEL_KEYS:
            labels.setdefault(key.bracket, (value.start, value.end))
    places: list[Place | None] = []
    next_number = 0
    for mention in mentions:
        numbers = numbers_of.get(mention.text)
        if numbers is None:
            position = strings[next_number].start if next_number < len(strings) else 0
            surface = search.find_surface(mention.text, position)
            places.append(None if surface is None else ((surface[0], surface[1] + 1), None))
            continue
        # The next string with this text or, if there is none, the first.
        number = numbers[bisect_left(numbers, next_number) % len(numbers)]
        next_number = number + 1
        string = strings[number]
        label = labels.get(string.bracket)
        before = key_before[number]
        if label is None and by_type and before is not None:
            label = strings[before].start, strings[before].end
        places.append(((string.start, string.end + 1), label))
    return places


class _Search:
    """Searches for surfaces in a reply, for a limited number of characters altogether.

    After that it finds nothing, so that many mentions that are not in the reply take linear time.
    """

    def __init__(self, reply: str, write_surface: WriteSurface | None = None) -> None:
        self.reply = reply
        self.write_surface = write_surface
        self._characters_left = _MAX_SCANS * len(reply) + _MAX_EXTRA_CHARACTERS

    def find_surface(self, text: str, position: int) -> tuple[int, int] | None:
        """The range of a surface, from ``position`` on or, if it is not there, from the start.

        The surface may be written as the format writes it, or as it is.
        """
        forms = [] if self.write_surface is None else [self.write_surface(text)]
        if text:
            forms.append(("", text, ""))
        for begin in (position, 0) if position else (0,):
            for before, written, after in forms:
                if self._characters_left < 0:
                    return None
                index = self.reply.find(before + written + after, begin)
                self._characters_left -= (len(self.reply) if index < 0 else index) - begin
                if index >= 0:
                    start = index + len(before)
                    return start, start + len(written)
        return None
