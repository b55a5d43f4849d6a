"""Long texts in windows: stretches that a model is asked about one by one, each with some text
around it.

Every window has a core, and the cores tile the text. What is asked about a window is
``extraction``'s; what becomes of answers that overlap is ``_merging``'s.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from llmner.errors import InputError

__all__ = ["Window", "check_windows", "halve_window", "split_windows"]

# Marks that end a sentence where white space follows, marks that need none, and line breaks. No
# end: the dots of 2014. 3. 5., of an initial (J. R. R. Tolkien), of a title before a name.
_SENTENCE_END: Final = re.compile(
    r"""(
        (?<![.?!…‥⋯．])
        (?! (?<=\d) \.\s+\d ) (?! (?<=\b[A-Z]) \.\s )
        (?! (?:(?<=\bMr|\bMs|\bDr|\bSt)|(?<=\bMrs)|(?<=\bProf)) \.\s )
        [.?!…‥⋯．]++ ["'”’»」』》〉)\]}）］】]*+ (?= \s | \Z )
      | [。｡！？]++ ["'”’»」』》〉)\]}）］】]*+
      | [\n\r\v\f\x85\u2028\u2029]
    ) \s*+""",
    re.VERBOSE,
)
# How far before a stretch the marks that end a sentence at its beginning may stand.
_LOOK_BACK: Final = 16
_MOST_FLAGS: Final = 1000


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a text, in code points of it; half-open.

    Attributes:
        start: Where the window begins.
        end: One past its last character.
        core_start: Where its core begins: what the window is asked for, the rest is context.
        core_end: One past the core's last character.
    """

    start: int
    end: int
    core_start: int
    core_end: int

    @classmethod
    def of(cls, text: str) -> Window:
        """The one window that is all of a text."""
        return cls(0, len(text), 0, len(text))


def check_windows(size: int, overlap: int) -> None:
    """Make sure that windows can have these sizes, in characters.

    Raises:
        InputError: A size below 1, or an overlap below 0 or not below the size.
    """
    if size < 1:
        raise InputError(f"a window of {size} characters is none", hint="expected 1 or more")
    if not 0 <= overlap < size:
        raise InputError(
            f"an overlap of {overlap} characters does not go with windows of {size}",
            hint="expected 0 or more, and less than the window",
        )


def split_windows(
    text: str, size: int, overlap: int, *, start: int = 0, end: int | None = None
) -> Iterator[Window]:
    """Windows of a text, in its order. Linear in the text; one window is held at a time.

    A stretch of at most ``size`` characters is one window. Else a core is as many whole sentences
    as go into ``size - overlap`` characters, or one longer sentence that goes into ``size``. A
    sentence that does not is cut at white space, without any between two characters, and never in a
    number or in a user-perceived character (base and marks, emoji sequence, syllable of jamo)
    unless that alone is too long. Context goes to both sides, ``overlap`` characters each at most
    and as far as ``size`` allows; it begins and ends at a sentence, a word or a character, the
    first of these that leaves half of it at least. So a name of ``overlap // 4`` characters across
    a cut is whole in the window whose core it begins in.

    Args:
        text: The text.
        size: Longest window, in characters (code points).
        overlap: Longest context on either side of a core.
        start: Where the first core begins.
        end: Where the last core ends; the text's end by default. Context may reach beyond both.

    Raises:
        InputError: As :func:`check_windows`.
    """
    check_windows(size, overlap)
    last = len(text) if end is None else end
    if last - start <= size and (start, last) == (0, len(text)):
        return iter((Window.of(text),))
    return _windows(text, size, overlap, start, last)


def halve_window(text: str, window: Window, overlap: int) -> Iterator[Window]:
    """Windows of at most half a window's length whose cores tile its core.

    Args:
        text: The whole text.
        window: The window, of two characters at least.
        overlap: Longest context on either side; less where half a window has no room for it.
    """
    size = (window.end - window.start) // 2
    context = min(overlap, size // 2)
    return split_windows(text, size, context, start=window.core_start, end=window.core_end)


def _windows(text: str, size: int, overlap: int, start: int, last: int) -> Iterator[Window]:
    while start < last:
        end = _core_end(text, start, size, overlap, last)
        room = size - (end - start)
        after = min(overlap, len(text) - end)
        before = min(overlap, start, max(room // 2, room - after))
        left = _context(text, start, -before)
        yield Window(left, _context(text, end, min(after, room - (start - left))), start, end)
        start = end


def _core_end(text: str, start: int, size: int, overlap: int, last: int) -> int:
    limit = start + size - overlap
    if last <= limit:
        return last
    best = None
    for end in _sentence_ends(text, start, min(start + size, last)):
        if end > limit:
            best = best or end
            break
        best = end
    if best is not None:
        return best
    if last - start <= size:
        return last
    places = range(limit, start, -1)
    for allowed in (_between_words, _between_characters, _safe):
        for place in places:
            if allowed(text, place):
                return place
    return limit


def _context(text: str, border: int, reach: int) -> int:
    """The end of the context that goes ``reach`` characters from a border at most: to its left if
    negative.
    """
    step = 1 if reach > 0 else -1
    farthest, half = border + reach, border + int(reach / 2)
    if farthest in (0, len(text)) or not reach:
        return farthest
    low, high = sorted((farthest, half))
    ends = [end for end in _sentence_ends(text, low - 1, high) if end != half]
    if ends:
        return ends[-1] if reach > 0 else ends[0]
    allowed: tuple[tuple[Callable[[str, int], bool], int], ...] = (
        (_between_words, half),
        (_between_characters, border),
    )
    for fits, stop in allowed:
        for place in range(farthest, stop, -step):
            if fits(text, place):
                return place
    return border


def _sentence_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Places in (start, end] where a sentence has ended, its white space behind it as far as it
    goes.
    """
    # One character more, to see that white space follows; what seems to end there is past the end.
    for match in _SENTENCE_END.finditer(text, max(0, start - _LOOK_BACK), min(end + 1, len(text))):
        for place in (min(match.end(), end), match.end(1)):
            if start < place <= end and place >= match.end(1) and _safe(text, place):
                yield place
                break


def _between_words(text: str, place: int) -> bool:
    return (text[place - 1].isspace() or text[place].isspace()) and _safe(text, place)


def _between_characters(text: str, place: int) -> bool:
    """Whether a cut parts neither a character nor a number, nor a number and its unit."""
    if not _safe(text, place):
        return False
    before, after = text[place - 1], text[place]
    if before in ".,":
        return not (after.isnumeric() and text[max(0, place - 2)].isnumeric())
    return not before.isnumeric() or after.isspace()


def _safe(text: str, place: int) -> bool:
    """Whether a place lies between two user-perceived characters."""
    if not 0 < place < len(text):
        return True
    before, after = text[place - 1], text[place]
    if after < "\u0300":
        return (before, after) != ("\r", "\n") and before != "\u200d"
    if (
        continues(after)
        or before == "\u200d"
        or ("\ud800" <= before <= "\udbff" and "\udc00" <= after <= "\udfff")
    ):
        return False
    if _flag_half(before) and _flag_half(after):
        count = 1
        while count < _MOST_FLAGS and count < place and _flag_half(text[place - 1 - count]):
            count += 1
        return count % 2 == 0
    return True


def continues(char: str) -> bool:
    """Whether a character belongs to the one before it: marks, joiners, vowels and finals of
    jamo.
    """
    return (
        unicodedata.category(char)[0] == "M"
        or char in "\u200c\u200d\uff9e\uff9f"
        or "\u1160" <= char <= "\u11ff"
        or "\ud7b0" <= char <= "\ud7fb"
        or "\U0001f3fb" <= char <= "\U0001f3ff"
        or "\U000e0020" <= char <= "\U000e007f"
    )


def _flag_half(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"
