"""Replies that are no JSON: the sentence with markup, or one mention a line.

Reads what the formats ``tagged`` and ``lines`` write, and what models write instead of them.
"""

from __future__ import annotations

import re

from llmner.markup import parse_markup
from llmner.replies._interpret import Found, is_label, is_nothing, split_labelled, surfaces_under
from llmner.replies._json import find_values
from llmner.schema import LabelSchema
from llmner.spans import Mention

__all__ = ["read_lines", "read_rows", "read_tagged"]

_XML = re.compile(r"<([^<>/\s][^<>/]{0,60})>([^<>]+)</([^<>/]{1,60})>")
_LINK = re.compile(r"\[([^\[\]\n]+)\]\(([^()\n]{1,60})\)")
_SQUARE = re.compile(r"[\[［]([^\[\]［］<>\n]+)[:：]\s*([^\[\]:：［］<>\n]{1,60})[\]］]")
_BULLET = re.compile(r"^[ \t]*(?:[-*+•·‣▪◦]|\d{1,3}[.)]|\(\d{1,3}\))[ \t]+")
_HEADING = re.compile(r"^[ \t]*#{1,6}[ \t]+")
_COMMAS = re.compile(r"[,，][ \t]+|[、;；]")
_LINE_ESCAPE = re.compile(r"\\([ntrs\\])")
_LINE_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "s": " ", "\\": "\\"}
_EDGE_QUOTES = "\"'“”‘’`*"


def read_tagged(text: str, schema: LabelSchema | None, found: Found) -> str:
    """Mentions of a sentence with markup, each with its place in the plain sentence, which is returned.

    Only the lines from the first to the last one with a mention count, so prose around the sentence is
    not taken for part of it. XML-like tags and Markdown links with a known label are read too.
    """
    rewritten = _XML.sub(
        lambda m: f"<{m[2]}:{m[1].strip()}>" if m[1] == m[3] and is_label(m[1], schema) else m[0], text
    )
    rewritten = _LINK.sub(lambda m: f"<{m[1]}:{m[2].strip()}>" if is_label(m[2], schema) else m[0], rewritten)
    rewritten = _SQUARE.sub(lambda m: f"<{m[1]}:{m[2].strip()}>" if is_label(m[2], schema) else m[0], rewritten)
    if rewritten != text:
        found.repairs["other-markup"] = None
    lines = rewritten.strip("\n").split("\n")
    parsed = [parse_markup(line, strict=False) for line in lines]
    marked = [number for number, (_, spans) in enumerate(parsed) if spans]
    if marked:
        if marked[0] > 0 or marked[-1] < len(lines) - 1:
            found.repairs["prose"] = None
        parsed = parsed[marked[0] : marked[-1] + 1]
    plain: list[str] = []
    length = 0
    for line, spans in parsed:
        for span in spans:
            found.add(span.label, line[span.start : span.end], start=length + span.start)
        plain.append(line)
        length += len(line) + 1
    found.shapes["tagged"] = None
    return "\n".join(plain)


def _unescape(surface: str) -> str:
    return _LINE_ESCAPE.sub(lambda match: _LINE_ESCAPES[match[1]], surface) if "\\" in surface else surface


def _bare(surface: str) -> str:
    """A surface without the decoration of a list item."""
    stripped = surface.strip()
    if len(stripped) > 2000:
        return stripped
    while len(stripped) > 1 and stripped[0] in _EDGE_QUOTES and stripped[-1] in _EDGE_QUOTES:
        stripped = stripped[1:-1].strip()
    return stripped


def read_rows(reply: str, schema: LabelSchema, *, surface_first: bool) -> tuple[Mention, ...] | None:
    """Mentions of a reply that is just what ``lines`` or ``pairs`` writes; ``None`` for any other.

    Such a reply needs no guesses, whatever its surfaces look like: brackets, bullets, a word for nothing.
    """
    mentions = []
    for line in reply.strip("\n").split("\n"):
        surface, tab, label = line.rpartition("\t") if surface_first else line.partition("\t")[::-1]
        if not tab or label not in schema.codes or not surface.strip() or "\t" in surface:
            return None
        mentions.append(Mention(label, _unescape(surface)))
    return tuple(mentions)


def read_lines(
    text: str, schema: LabelSchema | None, found: Found, *, surface_first: bool = False
) -> tuple[int, int]:
    """Mentions written one a line, and (lines understood, lines not understood).

    Understands ``PS<TAB>손흥민`` (what the format writes), either order, ``PS: 손흥민, 박지성``,
    ``손흥민 (PS)``, ``[손흥민:PS]``, bullets, numbering, table rows, and a line that is only a label
    followed by its mentions.

    Args:
        text: The reply, or a part of it.
        schema: Resolves label names.
        found: Takes the mentions.
        surface_first: Whether ``손흥민<TAB>PS`` is what was asked for; it decides what a surface is that
            could be a label as well.
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
            found.add(label, _unescape(surface))
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
    bracketed = [(match[2], match[1]) for match in _SQUARE.finditer(body) if is_label(match[2], schema)]
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
            found.add(labels[0], _unescape(others[0]))
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
