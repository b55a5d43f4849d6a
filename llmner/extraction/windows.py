"""Splitting a long text into windows, which a model is asked about one by one.

A window is a core with some context around it, and the cores tile the text. ``questions`` asks
about the windows, and ``merging`` joins the answers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from llmner.errors import InputError
from llmner.recipes import Windows as RecipeWindows

__all__ = ["Window", "WindowSizes", "check_windows", "halve_window", "split_windows"]

# Marks that end a sentence if white space follows, marks that always end one, and line breaks. The
# dots in 2014. 3. 5., after an initial (J. R. R. Tolkien) and after a title do not end a sentence.
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
# How far before a range the search for sentence ends begins: a sentence that ends at its start has
# its marks before it.
_LOOK_BACK: Final = 16
# How many halves of flags in a row are counted, to keep the time linear.
_MAX_FLAG_HALVES: Final = 1000


@dataclass(frozen=True, slots=True)
class Window:
    """A range of a text to ask about, with its core; both are half-open, in code points.

    The model sees the whole window, but is asked for the core. The rest is context.

    Attributes:
        start: The first character of the window.
        end: One past its last character.
        core_start: The first character of the core.
        core_end: One past the core's last character.
    """

    start: int
    end: int
    core_start: int
    core_end: int

    @classmethod
    def of(cls, text: str) -> Window:
        """The window that is a whole text.

        >>> Window.of("손흥민은 춘천에서")
        Window(start=0, end=9, core_start=0, core_end=9)
        """
        return cls(0, len(text), 0, len(text))


# The longest context where nobody says otherwise; a short window has half of itself at most.
_OVERLAP: Final = 80


@dataclass(frozen=True, slots=True)
class WindowSizes:
    """How large windows are, in characters (code points).

    Attributes:
        window: The longest window.
        overlap: The longest context on either side of a core.
        core: The longest core of several sentences; ``None`` for what context leaves of a window.
    """

    window: int
    overlap: int
    core: int | None = None

    @classmethod
    def of(
        cls, recipe: RecipeWindows, window: int | None = None, overlap: int | None = None
    ) -> WindowSizes:
        """The sizes that a user chose, else the recipe's.

        A window that the user chose is filled: the recipe's core goes with the recipe's window. The
        recipe's overlap stays, but is at most half of such a window.

        Args:
            recipe: The recipe's windows.
            window: The user's, if there is one.
            overlap: The user's, if there is one.

        Raises:
            InputError: See :func:`check_windows`.

        >>> sentences = RecipeWindows(window=150, core=60, overlap=0)
        >>> WindowSizes.of(sentences)
        WindowSizes(window=150, overlap=0, core=60)
        >>> WindowSizes.of(sentences, window=300)
        WindowSizes(window=300, overlap=0, core=None)
        >>> WindowSizes.of(RecipeWindows(), window=100)
        WindowSizes(window=100, overlap=50, core=None)
        """
        size = recipe.window if window is None else window
        if overlap is None:
            usual = _OVERLAP if recipe.overlap is None else recipe.overlap
            keeps = window is None and recipe.overlap is not None
            overlap = usual if keeps else min(usual, size // 2)
        check_windows(size, overlap)
        return cls(size, overlap, recipe.core if window is None else None)


def check_windows(size: int, overlap: int) -> None:
    """Check that windows can have these sizes, in characters.

    Raises:
        InputError: The size is below 1, or the overlap is below 0 or not below the size.

    >>> check_windows(400, 400)
    Traceback (most recent call last):
    llmner.errors.InputError: overlap must be less than the window of 400 characters, got 400
    """
    if size < 1:
        raise InputError(f"window must be at least 1 character, got {size}")
    if overlap < 0:
        raise InputError(f"overlap must be at least 0 characters, got {overlap}")
    if overlap >= size:
        raise InputError(
            f"overlap must be less than the window of {size} characters, got {overlap}"
        )


def split_windows(
    text: str,
    size: int,
    overlap: int,
    *,
    core: int | None = None,
    start: int = 0,
    end: int | None = None,
) -> Iterator[Window]:
    """Split a text into windows, in its order. Linear in the text; windows are made as needed.

    A text of at most ``size`` characters is one window. Otherwise each core is as many whole
    sentences as fit into ``size - overlap`` characters and into ``core``, or one longer sentence if
    it fits into ``size``. A longer sentence is cut at white space, or between two characters if it
    has none. A number or a user-perceived character (a base with its marks, an emoji sequence, a
    syllable of jamo) is cut only if it is too long itself.

    Context is added on both sides, at most ``overlap`` characters each, as far as ``size`` allows.
    It begins and ends at the border of a sentence, else of a word, else of a character; a border
    that would leave less than half of the context is not used. So a name of up to ``overlap // 4``
    characters that is cut is whole in the window in whose core it begins.

    Args:
        text: The text.
        size: The longest window, in characters (code points).
        overlap: The longest context on either side of a core, in characters.
        core: The longest core of several sentences, in characters, if it is to be shorter than
            context leaves room for.
        start: Where the first core begins.
        end: Where the last core ends; by default at the end of the text. Context may reach beyond
            both.

    Raises:
        InputError: See :func:`check_windows`.

    >>> text = "손흥민은 춘천에서 태어났다. 런던에서 뛴다."
    >>> for window in split_windows(text, 20, 4):
    ...     print(window, repr(text[window.core_start : window.core_end]))
    Window(start=0, end=20, core_start=0, core_end=16) '손흥민은 춘천에서 태어났다. '
    Window(start=12, end=24, core_start=16, core_end=24) '런던에서 뛴다.'
    >>> text = "가. " * 5
    >>> [text[window.start : window.end] for window in split_windows(text, 12, 0, core=6)]
    ['가. 가. ', '가. 가. ', '가. ']
    """
    check_windows(size, overlap)
    last = len(text) if end is None else end
    if last - start <= size and (start, last) == (0, len(text)):
        return iter((Window.of(text),))
    return _windows(text, WindowSizes(size, overlap, core), start, last)


def halve_window(text: str, window: Window, overlap: int) -> Iterator[Window]:
    """Split a window into windows of at most half its length, whose cores tile its core.

    Args:
        text: The whole text.
        window: The window, of at least two characters.
        overlap: The longest context on either side, in characters; it is shortened if half a window
            has no room for it.

    >>> text = "가나. 다라. "
    >>> [(half.core_start, half.core_end) for half in halve_window(text, Window.of(text), 0)]
    [(0, 4), (4, 8)]
    """
    size = (window.end - window.start) // 2
    context = min(overlap, size // 2)
    return split_windows(text, size, context, start=window.core_start, end=window.core_end)


def _windows(text: str, sizes: WindowSizes, start: int, last: int) -> Iterator[Window]:
    size, overlap = sizes.window, sizes.overlap
    while start < last:
        end = _core_end(text, start, sizes, last)
        room = size - (end - start)
        after = min(overlap, len(text) - end)
        before = min(overlap, start, max(room // 2, room - after))
        left = _context(text, start, -before)
        yield Window(left, _context(text, end, min(after, room - (start - left))), start, end)
        start = end


def _core_end(text: str, start: int, sizes: WindowSizes, last: int) -> int:
    """Where the core that begins at ``start`` ends; ``last`` is where the last core ends."""
    size, room = sizes.window, sizes.window - sizes.overlap
    core = room if sizes.core is None else min(sizes.core, room)
    limit = start + core
    if last <= limit:
        return last
    best = None
    for end in _sentence_ends(text, start, min(start + size, last)):
        # White space behind a core's last sentence needs room, and is no part of its length.
        if end > limit and (end > start + room or len(text[start:end].rstrip()) > core):
            best = best or end
            break
        best = end
    if best is not None:
        return best
    if last - start <= size:
        return last
    positions = range(limit, start, -1)
    for is_allowed in (_is_between_words, _is_between_characters, _is_safe):
        for position in positions:
            if is_allowed(text, position):
                return position
    return limit


def _context(text: str, border: int, reach: int) -> int:
    """Where the context beside a border of a core ends.

    Args:
        text: The whole text.
        border: The core's start or end.
        reach: The longest context, in characters; negative if it is to the left of the border.
    """
    step = 1 if reach > 0 else -1
    farthest, half = border + reach, border + int(reach / 2)
    if farthest in (0, len(text)) or not reach:
        return farthest
    low, high = sorted((farthest, half))
    ends = [end for end in _sentence_ends(text, low - 1, high) if end != half]
    if ends:
        return ends[-1] if reach > 0 else ends[0]
    rules: tuple[tuple[Callable[[str, int], bool], int], ...] = (
        (_is_between_words, half),
        (_is_between_characters, border),
    )
    for is_allowed, stop in rules:
        for position in range(farthest, stop, -step):
            if is_allowed(text, position):
                return position
    return border


def _sentence_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Yield the positions in (start, end] where a sentence has ended.

    The white space after a sentence belongs to it, as far as it lies in the range.
    """
    # One more character is searched, to see whether white space follows.
    for match in _SENTENCE_END.finditer(text, max(0, start - _LOOK_BACK), min(end + 1, len(text))):
        for position in (min(match.end(), end), match.end(1)):
            if start < position <= end and position >= match.end(1) and _is_safe(text, position):
                yield position
                break


def _is_between_words(text: str, position: int) -> bool:
    return (text[position - 1].isspace() or text[position].isspace()) and _is_safe(text, position)


def _is_between_characters(text: str, position: int) -> bool:
    """Whether a cut here divides no character, no number, and no number from its unit."""
    if not _is_safe(text, position):
        return False
    before, after = text[position - 1], text[position]
    if before in ".,":
        return not (after.isnumeric() and text[max(0, position - 2)].isnumeric())
    return not before.isnumeric() or after.isspace()


def _is_safe(text: str, position: int) -> bool:
    """Whether a position is between two user-perceived characters."""
    if not 0 < position < len(text):
        return True
    before, after = text[position - 1], text[position]
    if after < "\u0300":
        return (before, after) != ("\r", "\n") and before != "\u200d"
    if (
        continues(after)
        or before == "\u200d"
        or ("\ud800" <= before <= "\udbff" and "\udc00" <= after <= "\udfff")
    ):
        return False
    if _is_flag_half(before) and _is_flag_half(after):
        count = 1
        while (
            count < _MAX_FLAG_HALVES
            and count < position
            and _is_flag_half(text[position - 1 - count])
        ):
            count += 1
        return count % 2 == 0
    return True


def continues(char: str) -> bool:
    """Whether a character belongs to the one before it.

    Marks, joiners, skin tones, and vowels and finals of jamo do.
    """
    return (
        unicodedata.category(char)[0] == "M"
        or char in "\u200c\u200d\uff9e\uff9f"
        or "\u1160" <= char <= "\u11ff"
        or "\ud7b0" <= char <= "\ud7fb"
        or "\U0001f3fb" <= char <= "\U0001f3ff"
        or "\U000e0020" <= char <= "\U000e007f"
    )


def _is_flag_half(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"
