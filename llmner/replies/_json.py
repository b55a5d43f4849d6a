"""JSON as models write it: strict where it can be, forgiving where it must be, linear always.

Knows syntax only. What the values mean is for ``_interpret``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from llmner._budget import UNBOUNDED, Budget

__all__ = ["Draft", "Number", "Pairs", "find_values"]


class Pairs(list[tuple[Any, Any]]):
    """A JSON object as its (key, value) pairs, duplicates kept; a key of ``None`` had no colon."""


class Number(str):
    """A JSON number as the text it was, so that 3.10 stays 3.10 and is still known for a number."""

    __slots__ = ()


@dataclass(slots=True)
class Draft:
    """One top-level value found in a reply.

    Attributes:
        value: ``Pairs``, lists, strings, ``bool`` and ``None``; numbers stay the text they were.
        start: Where it begins in the text that was searched.
        end: One past its end.
        complete: Whether every bracket was closed.
        repairs: What had to be mended.
    """

    value: Any
    start: int
    end: int
    complete: bool = True
    repairs: list[str] = field(default_factory=list)


_MAX_DEPTH = 100
_PIECE = 1024
# How much is read in the time of one step.
_CHARACTERS_A_STEP = 16
_TOKENS_A_LOOK = 256
_OPEN = {"{": "}", "[": "]", "(": ")", "｛": "}", "［": "]", "（": ")"}
_CLOSE = {"}": "}", "]": "]", ")": ")", "｝": "}", "］": "]", "）": ")"}
_START = re.compile(r"[{\[｛［]")
_GOES_ON = re.compile(r"\s{0,20},\s{0,20}[\"'\w]")
_SPACE = re.compile(r"[\s\ufeff\u200b\u00a0]+")
_BARE = re.compile(
    r"[^\s,;:{}\[\]()，；、：｛｝［］（）\"“”][^,;:{}\[\]()\n，；、：｛｝［］（）\"“”]*"
)
_STRING_PREFIX = re.compile(r"[uUrRbBfF]{1,2}(?=[\"'])")

# What closes a string that each quote opens, and the same followed by what may follow a string.
_QUOTES = {
    '"': '"”“＂',
    "“": '”“"',
    "”": '”“"',
    "＂": '＂"',
    "'": "'’＇",
    "‘": "’‘'",
    "’": "’'",
    "＇": "＇'",
    "`": "`",
    "「": "」",
    "『": "』",
}
_FOLLOWS = r"(?=[ \t]*(?:[,;:\[{\]})，；、：｝］）\n\r]|\Z|//|/\*|#)|[ \t\r\n]+[\"'“‘「『＂])"
_SURE_END = {
    q: re.compile(rf"\\.|([{re.escape(c)}]){_FOLLOWS}", re.DOTALL) for q, c in _QUOTES.items()
}
_ANY_END = {q: re.compile(rf"\\.|([{re.escape(c)}])", re.DOTALL) for q, c in _QUOTES.items()}

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_SIMPLE_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_WORDS: dict[str, bool | None] = {
    "null": None,
    "none": None,
    "nil": None,
    "nan": None,
    "undefined": None,
    "true": True,
    "false": False,
}

_HOOKS: dict[str, Any] = {
    "object_pairs_hook": Pairs,
    "parse_int": Number,
    "parse_float": Number,
    "parse_constant": lambda raw: None,
}
_DECODER = json.JSONDecoder(**_HOOKS)
# The same, but line breaks may stand in strings as they are.
_LOOSE_DECODER = json.JSONDecoder(strict=False, **_HOOKS)


def find_values(text: str, budget: Budget = UNBOUNDED) -> list[Draft]:
    """Every top-level object or list in ``text``, in order. Linear; raises nothing but what the
    budget does.
    """
    drafts: list[Draft] = []
    at = 0
    # Made for the first value that is not JSON as it should be; most replies have none.
    sight: _Sight | None = None
    while (found := _START.search(text, at)) is not None:
        start = found.start()
        # After one failure strict parsing is given up: failing again and again is not linear.
        draft = _strict(text, start) if sight is None else None
        if draft is None:
            first, sight = sight is None, sight or _Sight(text)
            draft = _Lenient(sight, start, budget).parse()
            if first:
                draft.repairs = draft.repairs or ["syntax"]
        drafts.append(draft)
        at = max(draft.end, start + 1)
        if budget is not UNBOUNDED:
            budget.spend(8 + (at - start) // _CHARACTERS_A_STEP)
    return drafts


def _strict(text: str, start: int) -> Draft | None:
    """A value as JSON has it, or nothing. O(its length).

    What cannot be decoded costs a look at the whole text before it, since the error tells the line.
    So the value is first looked for in a short piece of the text, and then in pieces four times as
    long.
    """
    size = _PIECE
    while True:
        piece = text[start : start + size] if start or size < len(text) else text
        for decoder, repairs in ((_DECODER, []), (_LOOSE_DECODER, ["control-character"])):
            try:
                value, end = decoder.raw_decode(piece)
            except (ValueError, RecursionError):
                continue
            if end > _MAX_DEPTH and _too_deep(value):
                return None
            return Draft(value, start, start + end, repairs=repairs)
        if start + size >= len(text):
            return None
        size *= 4


def _too_deep(value: Any) -> bool:
    """Whether readers that descend by recursion had better not. The lenient pass cuts such values
    off.
    """
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            item
            for holder in level
            for item in ([v for _, v in holder] if isinstance(holder, Pairs) else holder)
            if isinstance(item, list)
        ]
        if not level:
            return False
    return True


def _unescape(raw: str) -> str:
    if "\\" not in raw:
        return raw

    def one(match: re.Match[str]) -> str:
        if match[1] or match[2]:
            return chr(int(match[1] or match[2], 16))
        return _SIMPLE_ESCAPES.get(match[3], match[3])

    text = _ESCAPE.sub(one, raw)
    # \ud83d\ude00 is one character spelt in two halves.
    return re.sub(
        r"[\ud800-\udbff][\udc00-\udfff]",
        lambda pair: chr(0x10000 + ((ord(pair[0][0]) - 0xD800) << 10) + ord(pair[0][1]) - 0xDC00),
        text,
    )


@dataclass(slots=True)
class _Frame:
    """An open bracket: what closes it, what it holds so far, and the key waiting for a value."""

    closer: str
    items: Any
    key: Any = None
    has_key: bool = False
    colon: bool = False


@dataclass(slots=True)
class _Sight:
    """A text, and what is known not to come any more as it is read from left to right.

    All values of a text share it: looking for the same thing again and again would not be linear.

    Attributes:
        text: The text.
        line_end: The end of the line being read.
        no_sure_end: Quotes that no sure end of a string follows on this line.
        no_comment_end: Whether no ``*/`` follows.
    """

    text: str
    line_end: int = -1
    no_sure_end: set[str] = field(default_factory=set)
    no_comment_end: bool = False


class _Lenient:
    """One pass over a text from an opening bracket to its end, or to the end of the text."""

    def __init__(self, sight: _Sight, start: int, budget: Budget) -> None:
        self.sight = sight
        self.text = sight.text
        self.budget = budget
        self.start = start
        self.repairs: dict[str, None] = {}
        self.stack: list[_Frame] = []
        self.overflow = 0
        self.root: Any = None

    def parse(self) -> Draft:
        text, at = self.text, self.start
        last_was_comma = False
        tokens = 0
        while at < len(text):
            tokens += 1
            if not tokens % _TOKENS_A_LOOK:
                self.budget.spend(_TOKENS_A_LOOK)
            char = text[at]
            if space := _SPACE.match(text, at):
                at = space.end()
                continue
            if char == "#" or (text.startswith("//", at) and text[at - 1] != ":"):
                newline = text.find("\n", at)
                at = len(text) if newline < 0 else newline
                self._mended("comment")
                continue
            if text.startswith("/*", at) and not self.sight.no_comment_end:
                closing = text.find("*/", at + 2)
                if closing >= 0:
                    at = closing + 2
                    self._mended("comment")
                    continue
                self.sight.no_comment_end = True
            if char in _OPEN:
                if char not in "{[":
                    self._mended("brackets")
                self._open(_OPEN[char])
                at += 1
            elif char in _CLOSE:
                if char not in "}]":
                    self._mended("brackets")
                if last_was_comma:
                    self._mended("trailing-comma")
                at += 1
                if self._close(_CLOSE[char], goes_on=_GOES_ON.match(text, at) is not None):
                    return self._draft(at, complete=True)
            elif char in ",，;；、":
                self._flush()
                at += 1
                last_was_comma = True
                continue
            elif char in ":：":
                self._colon()
                at += 1
            elif char in _QUOTES:
                at = self._string(at)
            elif prefix := _STRING_PREFIX.match(text, at):
                at = prefix.end()
                self._mended("python-literal")
            else:
                at = self._bare(at)
            last_was_comma = False
        return self._draft(len(text), complete=False)

    def _mended(self, what: str) -> None:
        self.repairs[what] = None

    def _draft(self, end: int, *, complete: bool) -> Draft:
        if not complete:
            self._mended("truncated")
            while len(self.stack) > 1:
                frame = self.stack.pop()
                self._attach(self.stack[-1], frame.items)
        value = self.stack[0].items if self.stack else self.root
        return Draft(value, self.start, end, complete, list(self.repairs))

    def _open(self, closer: str) -> None:
        if len(self.stack) >= _MAX_DEPTH:
            self.overflow += 1
            self._mended("too-deep")
            return
        self.stack.append(_Frame(closer, Pairs() if closer == "}" else []))

    def _close(self, closer: str, *, goes_on: bool) -> bool:
        """Close a bracket; True once the outermost one is closed.

        A wrong bracket closes up to the one it fits; but where that is the outermost one and a
        comma and a key follow, it was meant for the innermost: ``{"PS": ["a"}, "LC": ["b"]}``.
        """
        if self.overflow:
            self.overflow -= 1
            return False
        if not any(frame.closer == closer for frame in self.stack):
            self._mended("brackets")
            # A lone wrong closer at the outermost level still ends the value: {"PS": "a"]
            closer = self.stack[-1].closer if len(self.stack) == 1 else ""
            if not closer:
                return False
        elif (
            goes_on
            and len(self.stack) > 1
            and self.stack[-1].closer != closer
            and not any(frame.closer == closer for frame in self.stack[1:])
        ):
            self._mended("brackets")
            closer = self.stack[-1].closer
        while True:
            self._flush()
            frame = self.stack.pop()
            if not self.stack:
                self.root = frame.items
                return True
            self._attach(self.stack[-1], frame.items)
            if frame.closer == closer:
                return False
            self._mended("brackets")

    def _attach(self, frame: _Frame, value: Any) -> None:
        if not isinstance(frame.items, Pairs):
            frame.items.append(value)
            return
        if frame.has_key and (frame.colon or not isinstance(value, str)):
            if not frame.colon:
                self._mended("missing-colon")
            frame.items.append((frame.key, value))
            frame.has_key = frame.colon = False
        elif isinstance(value, str):
            self._flush()
            frame.key, frame.has_key, frame.colon = value, True, False
        else:
            frame.items.append((None, value))

    def _flush(self) -> None:
        """What a comma or a closing bracket ends: a key that never got a value is a set's
        element.
        """
        if self.stack and self.stack[-1].has_key:
            frame = self.stack[-1]
            if frame.colon:
                frame.items.append((frame.key, None))
            else:
                frame.items.append((None, frame.key))
            self._mended("missing-value")
            frame.has_key = frame.colon = False

    def _colon(self) -> None:
        if self.stack and isinstance(self.stack[-1].items, Pairs):
            frame = self.stack[-1]
            if not frame.has_key:
                frame.key, frame.has_key = "", True
            frame.colon = True
            return
        if (
            self.stack
            and len(self.stack[-1].items) == 1
            and isinstance(self.stack[-1].items[0], str)
        ):
            # ["PS": "손흥민"]: an object in a list's brackets.
            frame = self.stack[-1]
            self._mended("brackets")
            frame.key, frame.has_key, frame.colon = frame.items[0], True, True
            frame.items = Pairs()

    def _value(self, value: Any) -> None:
        if self.stack:
            self._attach(self.stack[-1], value)

    def _string(self, at: int) -> int:
        quote = self.text[at]
        if quote != '"':
            self._mended("quotes")
        end = self._end_of_string(quote, at + 1)
        if end is None:
            # Cut off inside the string: what is there of it is no complete mention.
            self._mended("truncated")
            return len(self.text)
        raw = self.text[at + 1 : end]
        if quote == '"' and (self.text[end] != '"' or '"' in raw.replace('\\"', "")):
            self._mended("quotes")
        self._value(_unescape(raw))
        return end + 1

    def _end_of_string(self, quote: str, at: int) -> int | None:
        """Where the string ends, looking no further than its line. ``None``: cut off by the reply's
        end.
        """
        sight = self.sight
        if at > sight.line_end:
            newline = self.text.find("\n", at)
            sight.line_end = len(self.text) if newline < 0 else newline
            sight.no_sure_end.clear()
        line_end = sight.line_end
        if quote not in sight.no_sure_end:
            for match in _SURE_END[quote].finditer(self.text, at, line_end + 1):
                if match[1]:
                    return match.start()
            sight.no_sure_end.add(quote)
        for match in _ANY_END[quote].finditer(self.text, at, line_end):
            if match[1]:
                self._mended("quotes")
                return match.start()
        if line_end == len(self.text):
            return None
        self._mended("quotes")
        return line_end

    def _bare(self, at: int) -> int:
        match = _BARE.match(self.text, at)
        if match is None:
            return at + 1
        word = match[0].strip().rstrip("'’`")
        end = match.end()
        if end >= len(self.text) and self.stack:
            # Touches the end of a reply whose brackets are open: it may have been cut.
            self._mended("truncated")
            return end
        literal: str | bool | None = _WORDS.get(word.lower(), word)
        if literal is None or isinstance(literal, bool):
            if word not in ("null", "true", "false"):
                self._mended("python-literal")
        elif re.fullmatch(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", word):
            literal = Number(word)
        else:
            self._mended("bare-word")
        self._value(literal)
        return end
