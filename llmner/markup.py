r"""Inline markup, ``<손흥민:PS>은 <춘천:LC>에서``, with escapes so that it can hold any text.

``\\``, ``\<``, ``\>`` and ``\:`` stand for the characters themselves, and ``\n``, ``\r`` and ``\t``
for line breaks and tabs, so that a marked-up sentence is always one line. ``<`` and ``\`` must
always be escaped, ``>`` and ``:`` only inside a mention. The corpus format ``markup``, the reply
format ``tagged`` and the examples of recipes use this markup.
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

# An escaped character, or a mention. A search from "<" stops at the next "<" or ">", so all
# searches together are linear.
_TOKEN = re.compile(r"\\.|<((?:[^<>\\]|\\.)+)>", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
# The last colon that is not escaped separates surface and label: people write <오후 3:00:TI>.
_MENTION = re.compile(r"((?:[^\\]|\\.)+):([^:\\\s]+)", re.DOTALL)


def render_markup(text: str, spans: Iterable[Span]) -> str:
    """Write each span of a text as ``<surface:LABEL>``; :func:`parse_markup` reads it back.

    Raises:
        SpanError: Spans overlap or lie outside the text.
        MarkupError: A label contains white space or one of ``<``, ``>``, ``:`` and the backslash.

    >>> render_markup("손흥민은 춘천에서", [Span(0, 3, "PS"), Span(5, 7, "LC")])
    '<손흥민:PS>은 <춘천:LC>에서'
    """
    parts: list[str] = []
    position = 0
    for span in check_spans(spans, len(text)):
        if re.search(r"[<>:\\\s]", span.label):
            raise MarkupError(
                f"label {span.label!r} cannot be written in markup",
                hint="use letters, digits, - and _",
            )
        parts.append(escape_outside(text[position : span.start]))
        parts.append(f"<{escape(text[span.start : span.end])}:{span.label}>")
        position = span.end
    parts.append(escape_outside(text[position:]))
    return "".join(parts)


def escape(surface: str) -> str:
    r"""Escape a surface for the inside of a mention.

    >>> escape("15:00")
    '15\\:00'
    """
    return surface.translate(_INNER)


def escape_outside(text: str) -> str:
    r"""Escape text between mentions.

    >>> escape_outside("15:00 < 16:00")
    '15:00 \\< 16:00'
    """
    return text.translate(_OUTER)


def unescape(text: str) -> str:
    r"""Undo the escapes of :func:`render_markup`.

    >>> unescape(r"15\:00")
    '15:00'
    """
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda match: _UNESCAPES.get(match[1], match[1]), text)


def parse_markup(marked: str, *, strict: bool = True) -> tuple[str, tuple[Span, ...]]:
    """The plain text and the spans of a marked-up text.

    Args:
        marked: One marked-up sentence.
        strict: Refuse a ``<`` that is not escaped and does not begin a mention. Otherwise such a
            ``<`` stands for itself.

    Raises:
        MarkupError: Under ``strict``, a ``<`` does not begin a mention.

    >>> parse_markup("<손흥민:PS>은")
    ('손흥민은', (Span(start=0, end=3, label='PS', score=None),))
    """
    parts: list[str] = []
    spans: list[Span] = []
    length = 0
    position = 0

    def add_plain(piece: str) -> None:
        nonlocal length
        if strict:
            bare = re.search(r"<", _ESCAPED.sub("  ", piece))
            if bare is not None:
                raise MarkupError(
                    f"'<' at character {position + bare.start()} does not begin a <surface:LABEL>",
                    hint="write \\< for the character itself",
                )
        piece = unescape(piece)
        parts.append(piece)
        length += len(piece)

    for match in _TOKEN.finditer(marked):
        mention = _MENTION.fullmatch(match[1]) if match[1] else None
        if mention is None:
            continue
        add_plain(marked[position : match.start()])
        surface = unescape(mention[1])
        spans.append(Span(length, length + len(surface), mention[2]))
        parts.append(surface)
        length += len(surface)
        position = match.end()
    add_plain(marked[position:])
    return "".join(parts), tuple(spans)
