"""A forgiving JSON parser, for JSON that is damaged or written in another dialect.

It knows the syntax only; ``_interpret`` knows what the values mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from llmner._budget import Budget
from llmner.replies._json_values import MAX_DEPTH, Number, Pairs, ParsedValue
from llmner.replies._source import SourceText

__all__ = ["LenientParser", "ScanState"]

# The budget is charged once in so many tokens.
_TOKENS_PER_CHARGE = 256
_OPEN = {"{": "}", "[": "]", "(": ")", "｛": "}", "［": "]", "（": ")"}
_CLOSE = {"}": "}", "]": "]", ")": ")", "｝": "}", "］": "]", "）": ")"}
# A comma and then the beginning of a key or value.
_GOES_ON = re.compile(r"\s{0,20},\s{0,20}[\"'\w]")
_SPACE = re.compile(r"[\s\ufeff\u200b\u00a0]+")
# A string without quotes.
_BARE_WORD = re.compile(
    r"[^\s,;:{}\[\]()，；、：｛｝［］（）\"“”][^,;:{}\[\]()\n，；、：｛｝［］（）\"“”]*"
)
# The prefix of a Python string, as in u"..."
_STRING_PREFIX = re.compile(r"[uUrRbBfF]{1,2}(?=[\"'])")

# Opening quote -> the quotes that may close its string.
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
# What may follow a string in JSON. A quote before it surely ends the string.
_FOLLOWS = r"(?=[ \t]*(?:[,;:\[{\]})，；、：｝］）\n\r]|\Z|//|/\*|#)|[ \t\r\n]+[\"'“‘「『＂])"
_SURE_END = {
    q: re.compile(rf"\\.|([{re.escape(c)}]){_FOLLOWS}", re.DOTALL) for q, c in _QUOTES.items()
}
_ANY_END = {q: re.compile(rf"\\.|([{re.escape(c)}])", re.DOTALL) for q, c in _QUOTES.items()}

# What a string goes over that has no closing quote: the end of its list or object and what follows.
_BROKEN = re.compile(
    r"[\]}][ \t]{0,4}[\]}]?[ \t]{0,4},\s{0,8}[\"{\[]|:\s{0,8}[\[{]\s{0,8}\"|:\s{0,8}\""
    r"|,\s{0,8}\"[\w -]{1,30}\"?\s{0,4}:|[\]}][ \t]{0,4},?[ \t]{0,4}\n|(?<=[^\"\s]),\s{0,4}\"(?=\w)"
)
# A string that goes on for longer than this is taken as it is.
_LONGEST_BROKEN = 400
_CLOSES_AT_END = re.compile(r"[^\[\]{}\"\n]{1,200}(?=\s{0,20}[\]}][\s\]}]{0,10}\Z)")
_LONGEST_REST = 200
_LONE_QUOTE = re.compile(r"[\"”](?=\s*(?:[,\]}:]|\Z))")
# A comma, words that are no string, and a quote that ends a string.
_INNER = re.compile(r"\s*,\s*[^\s\"'\[\]{},:\d][^\"\[\]{}\n]{0,200}\"(?=\s*[,\]}])")

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_SIMPLE_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_LITERALS: dict[str, bool | None] = {
    "null": None,
    "none": None,
    "nil": None,
    "nan": None,
    "undefined": None,
    "true": True,
    "false": False,
}


@dataclass(slots=True)
class ScanState:
    """A text, and what is known not to follow any more as it is read from left to right.

    All values of a text share it: searching for the same thing again and again would not be linear.

    Attributes:
        text: The text.
        source: The text that the reply is about, if it is known.
        line_end: The end of the line that is being read.
        no_sure_end: Opening quotes whose strings have no sure end on the rest of this line.
        no_comment_end: Whether no ``*/`` follows.
    """

    text: str
    source: SourceText | None = None
    line_end: int = -1
    no_sure_end: set[str] = field(default_factory=set)
    no_comment_end: bool = False


@dataclass(slots=True)
class _Bracket:
    """An open bracket.

    Attributes:
        closer: What closes it.
        items: ``Pairs`` or a list of what it contains so far.
        key: The key that waits for its value, if ``has_key``.
        has_key: Whether a key waits for its value.
        colon: Whether the key's colon was read.
    """

    closer: str
    items: Any
    key: Any = None
    has_key: bool = False
    colon: bool = False


class LenientParser:
    """Parses one object or list, in one pass from its opening bracket to its end.

    A value without an end reaches to the end of the text.
    """

    def __init__(self, state: ScanState, start: int, budget: Budget) -> None:
        self.state = state
        self.text = state.text
        self.budget = budget
        self.start = start
        self.repairs: dict[str, None] = {}
        self.stack: list[_Bracket] = []
        # How many open brackets were too deep to go onto the stack.
        self.overflow = 0
        self.root: Any = None

    def parse(self) -> ParsedValue:
        text, position = self.text, self.start
        last_was_comma = False
        tokens = 0
        while position < len(text):
            tokens += 1
            if not tokens % _TOKENS_PER_CHARGE:
                self.budget.spend(_TOKENS_PER_CHARGE)
            char = text[position]
            if space := _SPACE.match(text, position):
                position = space.end()
                continue
            if char == "#" or (text.startswith("//", position) and text[position - 1] != ":"):
                newline = text.find("\n", position)
                position = len(text) if newline < 0 else newline
                self._add_repair("comment")
                continue
            if text.startswith("/*", position) and not self.state.no_comment_end:
                comment_end = text.find("*/", position + 2)
                if comment_end >= 0:
                    position = comment_end + 2
                    self._add_repair("comment")
                    continue
                self.state.no_comment_end = True
            if char in _OPEN:
                if char not in "{[":
                    self._add_repair("brackets")
                self._open(_OPEN[char])
                position += 1
            elif char in _CLOSE:
                if char not in "}]":
                    self._add_repair("brackets")
                if last_was_comma:
                    self._add_repair("trailing-comma")
                position += 1
                goes_on = _GOES_ON.match(text, position) is not None
                if self._close(_CLOSE[char], goes_on=goes_on):
                    return self._parsed(position, complete=True)
            elif char in ",，;；、":
                self._finish_key()
                position += 1
                last_was_comma = True
                continue
            elif char in ":：":
                self._read_colon()
                position += 1
            elif char in _QUOTES:
                position = self._read_string(position)
            elif prefix := _STRING_PREFIX.match(text, position):
                position = prefix.end()
                self._add_repair("python-literal")
            else:
                position = self._read_bare_word(position)
            last_was_comma = False
        return self._parsed(len(text), complete=False)

    def _add_repair(self, repair: str) -> None:
        self.repairs[repair] = None

    def _parsed(self, end: int, *, complete: bool) -> ParsedValue:
        if not complete:
            self._add_repair("truncated")
            while len(self.stack) > 1:
                bracket = self.stack.pop()
                self._attach(self.stack[-1], bracket.items)
        value = self.stack[0].items if self.stack else self.root
        return ParsedValue(value, self.start, end, complete, list(self.repairs))

    def _open(self, closer: str) -> None:
        if len(self.stack) >= MAX_DEPTH:
            self.overflow += 1
            self._add_repair("too-deep")
            return
        self.stack.append(_Bracket(closer, Pairs() if closer == "}" else []))

    def _close(self, closer: str, *, goes_on: bool) -> bool:
        """Close a bracket; ``True`` if it was the outermost one.

        A closer of the wrong kind closes every bracket up to the one that it fits. But if that is
        the outermost one, and a comma and a key follow, it closes the innermost bracket instead:
        ``{"PS": ["a"}, "LC": ["b"]}``.

        Args:
            closer: The closing bracket, as JSON writes it.
            goes_on: Whether a comma and a key or value follow.
        """
        if self.overflow:
            self.overflow -= 1
            return False
        if not any(bracket.closer == closer for bracket in self.stack):
            self._add_repair("brackets")
            # At the outermost level a wrong closer still ends the value: {"PS": "a"]
            closer = self.stack[-1].closer if len(self.stack) == 1 else ""
            if not closer:
                return False
        elif (
            goes_on
            and len(self.stack) > 1
            and self.stack[-1].closer != closer
            and not any(bracket.closer == closer for bracket in self.stack[1:])
        ):
            self._add_repair("brackets")
            closer = self.stack[-1].closer
        while True:
            self._finish_key()
            bracket = self.stack.pop()
            if not self.stack:
                self.root = bracket.items
                return True
            self._attach(self.stack[-1], bracket.items)
            if bracket.closer == closer:
                return False
            self._add_repair("brackets")

    def _attach(self, bracket: _Bracket, value: Any) -> None:
        """Put a value into an open bracket, as an element, as a key or as a key's value."""
        if not isinstance(bracket.items, Pairs):
            bracket.items.append(value)
            return
        if bracket.has_key and (bracket.colon or not isinstance(value, str)):
            if not bracket.colon:
                self._add_repair("missing-colon")
            bracket.items.append((bracket.key, value))
            bracket.has_key = bracket.colon = False
        elif isinstance(value, str):
            self._finish_key()
            bracket.key, bracket.has_key, bracket.colon = value, True, False
        else:
            bracket.items.append((None, value))

    def _finish_key(self) -> None:
        """Store a key that got no value, at a comma or a closing bracket.

        A key without a colon is an element of a set.
        """
        if self.stack and self.stack[-1].has_key:
            bracket = self.stack[-1]
            if bracket.colon:
                bracket.items.append((bracket.key, None))
            else:
                bracket.items.append((None, bracket.key))
            self._add_repair("missing-value")
            bracket.has_key = bracket.colon = False

    def _read_colon(self) -> None:
        if self.stack and isinstance(self.stack[-1].items, Pairs):
            bracket = self.stack[-1]
            if not bracket.has_key:
                bracket.key, bracket.has_key = "", True
            bracket.colon = True
            return
        if (
            self.stack
            and len(self.stack[-1].items) == 1
            and isinstance(self.stack[-1].items[0], str)
        ):
            # ["PS": "손흥민"]: an object in the brackets of a list.
            bracket = self.stack[-1]
            self._add_repair("brackets")
            bracket.key, bracket.has_key, bracket.colon = bracket.items[0], True, True
            bracket.items = Pairs()

    def _add_value(self, value: Any) -> None:
        if self.stack:
            self._attach(self.stack[-1], value)

    def _read_string(self, start: int) -> int:
        """Read the string whose opening quote is at ``start``; the position after it."""
        quote = self.text[start]
        if quote != '"':
            self._add_repair("quotes")
        end = self._end_of_string(quote, start + 1)
        closed = _CLOSES_AT_END.match(self.text, start + 1) if end is None else None
        if closed is not None:
            # {"PS": ["민준]}
            self._add_repair("quotes")
            self._add_value(_unescape(closed[0].strip()))
            return closed.end()
        if end is None:
            # The reply was cut off inside the string, so the mention is not complete.
            self._add_repair("truncated")
            return len(self.text)
        raw = self.text[start + 1 : end]
        following = self.text[start + 1 : end + 3]
        broken = _BROKEN.search(following) if quote in '"“' and len(raw) < _LONGEST_BROKEN else None
        if broken is not None and not self._stands_in_the_text(raw):
            # The closing quote is missing: {"PS": ["민준], "LC": [...]}.
            self._add_repair("quotes")
            self._add_value(_unescape(raw[: broken.start()].rstrip()))
            return start + 1 + broken.start()
        if quote == '"' and (self.text[end] != '"' or '"' in raw.replace('\\"', "")):
            self._add_repair("quotes")
        self._add_value(_unescape(raw))
        return end + 1

    def _stands_in_the_text(self, surface: str) -> bool:
        source = self.state.source
        return source is not None and source.has(_unescape(surface))

    def _whole_surface(self, start: int, end: int) -> int:
        """The quote that ends a string, if the one at ``end`` is part of it: the "Big Four", a
        group.

        The text has the whole then; where it is not known, what follows is no string, and ends in a
        quote all the same.
        """
        source = self.state.source
        following = self.text[end + 1 : end + _LONGEST_REST]
        if not following.lstrip().startswith(","):
            return end
        if source is None:
            match = _INNER.match(self.text, end + 1)
            inner = match is not None and self.text.count('"', start, match.end()) % 2 == 1
            return match.end() - 1 if match is not None and inner else end
        quotes = [match.start() for match in _LONE_QUOTE.finditer(following)][:4]
        wholes = [end + 1 + quote for quote in quotes]
        return next(
            (whole for whole in wholes if self._stands_in_the_text(self.text[start:whole])), end
        )

    def _end_of_string(self, quote: str, start: int) -> int | None:
        """Where a string ends: at the end of its line at the latest.

        ``None`` if the reply was cut off inside the string.

        Args:
            quote: Its opening quote.
            start: Its first character.
        """
        state = self.state
        if start > state.line_end:
            newline = self.text.find("\n", start)
            state.line_end = len(self.text) if newline < 0 else newline
            state.no_sure_end.clear()
        line_end = state.line_end
        if quote not in state.no_sure_end:
            for match in _SURE_END[quote].finditer(self.text, start, line_end + 1):
                if match[1]:
                    return (
                        self._whole_surface(start, match.start()) if quote == '"' else match.start()
                    )
            state.no_sure_end.add(quote)
        for match in _ANY_END[quote].finditer(self.text, start, line_end):
            if match[1]:
                self._add_repair("quotes")
                return match.start()
        if line_end == len(self.text):
            return None
        self._add_repair("quotes")
        return line_end

    def _read_bare_word(self, start: int) -> int:
        """Read a number, a literal or a string without quotes; the position after it."""
        match = _BARE_WORD.match(self.text, start)
        if match is None:
            return start + 1
        word = match[0].strip().rstrip("'’`")
        end = match.end()
        if end >= len(self.text) and self.stack:
            # It ends with the reply while brackets are open, so it may have been cut off.
            self._add_repair("truncated")
            return end
        literal: str | bool | None = _LITERALS.get(word.lower(), word)
        if literal is None or isinstance(literal, bool):
            if word not in ("null", "true", "false"):
                self._add_repair("python-literal")
        elif re.fullmatch(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", word):
            literal = Number(word)
        else:
            self._add_repair("bare-word")
        if _LONE_QUOTE.match(self.text, end):
            # The opening quote is missing: [민준"].
            self._add_repair("quotes")
            end += 1
        self._add_value(literal)
        return end


def _unescape(raw: str) -> str:
    if "\\" not in raw:
        return raw

    def unescaped(match: re.Match[str]) -> str:
        if match[1] or match[2]:
            return chr(int(match[1] or match[2], 16))
        return _SIMPLE_ESCAPES.get(match[3], match[3])

    text = _ESCAPE.sub(unescaped, raw)
    # \ud83d\ude00 is one character, written as two surrogates.
    return re.sub(
        r"[\ud800-\udbff][\udc00-\udfff]",
        lambda pair: chr(0x10000 + ((ord(pair[0][0]) - 0xD800) << 10) + ord(pair[0][1]) - 0xDC00),
        text,
    )
