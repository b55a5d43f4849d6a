"""Replies with one mention a line, in whatever style a model writes lines.

What ``lines`` and ``pairs`` write to the letter is read by ``formats/_rows.py``; all else is read
here.
"""

from __future__ import annotations

import re

from llmner.replies._interpret import Found, is_label, is_nothing, split_labelled, surfaces_under
from llmner.replies._json import find_values
from llmner.replies._types import NOTHING, Reading, Unwrapped
from llmner.schema import LabelSchema

__all__ = ["SQUARE_MARKUP", "read_lines", "unescape_line"]

SQUARE_MARKUP = re.compile(r"[\[［]([^\[\]［］<>\n]+)[:：]\s*([^\[\]:：［］<>\n]{1,60})[\]］]")
"""``[손흥민:PS]``."""

_BULLET = re.compile(r"^[ \t]*(?:[-*+•·‣▪◦]|\d{1,3}[.)]|\(\d{1,3}\))[ \t]+")
_HEADING = re.compile(r"^[ \t]*#{1,6}[ \t]+")
_COMMAS = re.compile(r"[,，][ \t]+|[、;；]")
_LINE_ESCAPE = re.compile(r"\\([ntrs\\])")
_LINE_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "s": " ", "\\": "\\"}
_EDGE_QUOTES = "\"'“”‘’`*"


def unescape_line(surface: str) -> str:
    """A surface without the escapes that rows are written with."""
    if "\\" not in surface:
        return surface
    return _LINE_ESCAPE.sub(lambda match: _LINE_ESCAPES[match[1]], surface)


def read_lines(unwrapped: Unwrapped) -> Reading | None:
    """What a reply says one mention a line, as ``pairs`` where they were asked for, else as
    ``lines``.
    """
    name = "pairs" if unwrapped.asked == "pairs" else "lines"
    schema, parts = unwrapped.schema, unwrapped.parts
    for part in parts:
        if len(parts) == 1 and is_nothing(part):
            as_asked = unwrapped.asked == name and part.strip() == NOTHING
            return Reading(name, (), () if as_asked else ("none-word",))
        found = Found(schema, unwrapped.budget)
        understood, not_understood = _read_part(part, schema, found, surface_first=name == "pairs")
        if found.mentions or (understood and not not_understood):
            return found.reading(name, ["prose"] if not_understood else [])
    return None


def _bare(surface: str) -> str:
    """A surface without the decoration of a list item."""
    stripped = surface.strip()
    if len(stripped) > 2000:
        return stripped
    while len(stripped) > 1 and stripped[0] in _EDGE_QUOTES and stripped[-1] in _EDGE_QUOTES:
        stripped = stripped[1:-1].strip()
    return stripped


def _read_part(
    text: str, schema: LabelSchema | None, found: Found, *, surface_first: bool
) -> tuple[int, int]:
    """Mentions written one a line, and (lines understood, lines not understood).

    Understands ``PS<TAB>손흥민`` (what the format writes), either order, ``PS: 손흥민, 박지성``,
    ``손흥민 (PS)``, ``[손흥민:PS]``, bullets, numbering, table rows, and a line that is only a
    label followed by its mentions.

    Args:
        text: The reply, or a part of it.
        schema: Resolves label names.
        found: Takes the mentions.
        surface_first: Whether ``손흥민<TAB>PS`` is what was asked for; it decides what a surface is
            that could be a label as well.
    """
    understood = not_understood = 0
    heading: str | None = None
    for raw in text.split("\n"):
        found.budget.spend(3 + len(raw) // 8)
        line = raw.strip("\r")
        if not line.strip():
            if not_understood:
                heading = None
            continue
        if surface_first:
            surface, tab, label = line.rpartition("\t")
        else:
            label, tab, surface = line.partition("\t")
        if tab and is_label(label, schema) and surface.strip():
            found.add(label, unescape_line(surface))
            understood += 1
            continue
        count = len(found.mentions) + len(found.repairs)
        bullet = _BULLET.match(line)
        body = _BULLET.sub("", _HEADING.sub("", line)).strip()
        if _line(body, schema, found):
            understood += 1
            if len(found.mentions) + len(found.repairs) > count:
                found.repairs["line-style"] = None
            continue
        word = _bare(body.rstrip(":： \t"))
        if len(word) <= 60 and is_label(word, schema):
            heading = word
            understood += 1
            found.repairs["line-style"] = None
        elif heading is not None and (bullet is not None or len(body) <= 60):
            surfaces_under(heading, _bare(body), found)
            found.repairs["line-style"] = None
            understood += 1
        elif is_nothing(body):
            understood += 1
        else:
            heading = None
            not_understood += 1
    if understood:
        found.shapes["lines"] = None
    return understood, not_understood


def _line(body: str, schema: LabelSchema | None, found: Found) -> bool:
    """Read one line's mentions; False where it holds none."""
    bracketed = [
        (match[2], match[1]) for match in SQUARE_MARKUP.finditer(body) if is_label(match[2], schema)
    ]
    if bracketed:
        for label, surface in bracketed:
            found.add(label, surface)
        return True
    if body.startswith("|") or body.count("|") >= 2 or "\t" in body:
        cells = [_bare(cell) for cell in re.split(r"[|\t]", body.strip("|"))]
        cells = [cell for cell in cells if cell and not re.fullmatch(r"[\s:\-]+|\d{1,3}", cell)]
        labels = [cell for cell in cells if is_label(cell, schema)]
        named = set(labels)
        others = [cell for cell in cells if cell not in named]
        if len(labels) == 1 and len(others) >= 1:
            found.add(labels[0], unescape_line(others[0]))
            return True
    body = body.replace("**", "")
    pieces = _COMMAS.split(body)
    each = [split_labelled(piece, schema) for piece in pieces]
    if len(pieces) > 1 and all(pair is not None for pair in each):
        # 손흥민(PS), 춘천(LC)
        for pair in each:
            if pair is not None:
                found.add(pair[0], _bare(pair[1]))
        return True
    labelled = split_labelled(body, schema)
    if labelled is None:
        return False
    label, rest = labelled
    if rest[:1] in "[{":
        values = find_values(rest, found.budget)
        if values:
            surfaces_under(label, values[0].value, found)
            return True
    for number, piece in enumerate(_COMMAS.split(rest)):
        other = split_labelled(piece, schema) if number else None
        if other is not None:
            # PS: 손흥민, LC: 춘천
            label, piece = other
        surface = _bare(piece)
        if surface:
            surfaces_under(label, surface, found)
    return True
