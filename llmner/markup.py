r"""Inline markup, ``<손흥민:PS>은 <춘천:LC>에서``, with an escape so that any text survives.

``\\``, ``\<``, ``\>``, ``\:`` stand for the characters themselves and ``\n``, ``\r``, ``\t`` for
line breaks and tabs, so a marked-up sentence is always one line. Only what must be escaped is:
``<`` and ``\`` everywhere, ``>`` and ``:`` inside a mention. Shared by the corpus format
``markup``, the reply format ``tagged`` and the examples of recipes; what is done with a broken
markup is theirs to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from llmner.errors import MarkupError
from llmner.spans import Span, check_spans

__all__ = ["escape", "escape_outside", "parse_markup", "render_markup", "unescape"]

_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", "<": "\\<"}
_OUTER = str.maketrans(_ESCAPES)
_INNER = str.maketrans({**_ESCAPES, ">": "\\>", ":": "\\:"})
_UNESCAPES = {"n": "\n", "r": "\r", "t": "\t"}

# An escaped character, or a mention. Starting at a "<", the scan stops at the next "<" or ">", so
# the whole search is linear.
_TOKEN = re.compile(r"\\.|<((?:[^<>\\]|\\.)+)>", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
# Surface and label part at the last colon that is not escaped: <오후 3:00:TI> is written by hand.
_PARTS = re.compile(r"((?:[^\\]|\\.)+):([^:\\\s]+)", re.DOTALL)


def render_markup(text: str, spans: Iterable[Span]) -> str:
    """``text`` with each span written as ``<surface:LABEL>``; :func:`parse_markup` gives both back.

    Raises:
        SpanError: Spans overlap or lie outside the text.
        MarkupError: A label holds a character that a label in markup cannot hold.
    """
    parts: list[str] = []
    at = 0
    for span in check_spans(spans, len(text)):
        if re.search(r"[<>:\\\s]", span.label):
            raise MarkupError(
                f"label {span.label!r} cannot be written in markup",
                hint="use letters, digits, - and _",
            )
        parts.append(escape_outside(text[at : span.start]))
        parts.append(f"<{escape(text[span.start : span.end])}:{span.label}>")
        at = span.end
    parts.append(escape_outside(text[at:]))
    return "".join(parts)


def escape(surface: str) -> str:
    """A surface as it stands inside a mention's brackets."""
    return surface.translate(_INNER)


def escape_outside(text: str) -> str:
    """Text as it stands between mentions."""
    return text.translate(_OUTER)


def unescape(text: str) -> str:
    """Undo the escapes of :func:`render_markup`."""
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda match: _UNESCAPES.get(match[1], match[1]), text)


def parse_markup(marked: str, *, strict: bool = True) -> tuple[str, tuple[Span, ...]]:
    """The plain text and the spans of a marked-up text.

    Args:
        marked: One marked-up sentence.
        strict: Refuse a bare ``<`` that opens no mention; otherwise it stands for itself.

    Raises:
        MarkupError: Under ``strict``, a ``<`` that opens no mention.
    """
    parts: list[str] = []
    spans: list[Span] = []
    length = 0
    at = 0

    def plain(piece: str) -> None:
        nonlocal length
        if strict:
            bare = re.search(r"<", _ESCAPED.sub("  ", piece))
            if bare is not None:
                raise MarkupError(
                    f"'<' at character {at + bare.start()} opens no <surface:LABEL>",
                    hint="write \\< for the character itself",
                )
        piece = unescape(piece)
        parts.append(piece)
        length += len(piece)

    for match in _TOKEN.finditer(marked):
        parted = _PARTS.fullmatch(match[1]) if match[1] else None
        if parted is None:
            continue
        plain(marked[at : match.start()])
        surface = unescape(parted[1])
        spans.append(Span(length, length + len(surface), parted[2]))
        parts.append(surface)
        length += len(surface)
        at = match.end()
    plain(marked[at:])
    return "".join(parts), tuple(spans)
