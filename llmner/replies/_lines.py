"""Reading replies with one mention on each line, in any style that models write.

Rows that are exactly what ``lines`` and ``pairs`` write are read by ``formats/_rows.py``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmner.replies._attributed import AttributedLines
from llmner.replies._interpret import collect_surfaces
from llmner.replies._json import find_values
from llmner.replies._mentions import BULLET, MentionCollector, is_label, is_nothing, split_labelled
from llmner.replies._source import fold
from llmner.replies._types import NOTHING, Reading, Unwrapped
from llmner.schema import LabelSchema

__all__ = ["SQUARE_MARKUP", "read_lines", "unescape_line"]

SQUARE_MARKUP = re.compile(r"[\[［]([^\[\]［］<>\n]+)[:：]\s*([^\[\]:：［］<>\n]{1,60})[\]］]")
"""A mention like ``[손흥민:PS]``."""

_HEADING = re.compile(r"^[ \t]*#{1,6}[ \t]+")
_DESCRIBED = re.compile(
    r"(?P<surface>[^:：\n()\[\]（）【】]{1,200})[(\[（【](?P<label>[^()\[\]（）【】\n]{1,60})[)\]）】]"
    r"[ \t]*+(?:[:：]|[-–—→]\s|=)[ \t]*+(?P<rest>.+)"
)
_PAIR = re.compile(r"[(\[]([^,()\[\]]{1,200}),[ \t]?([^,()\[\]]{1,200})[)\]],?")
_HEADED = re.compile(
    r"(?:\[(?P<square>[^\[\]\n]{1,60})\]|【(?P<lens>[^【】\n]{1,60})】|\{(?P<curly>[^{}\n]{1,60})\}"
    r"|<(?P<angle>[^<>\n]{1,60})>|\((?P<round>[^()\n]{1,60})\)|（(?P<wide>[^（）\n]{1,60})）"
    r"|`(?P<code>[^`\n]{1,60})`)[ \t]*[:：-]?[ \t]*"
)
_DIVIDER = re.compile(
    r"[ \t]*+\|?(?:[ \t]*+:?-{2,}+:?[ \t]*+\|)++(?:[ \t]*+:?-{2,}+:?[ \t]*+)?[ \t\r]*+"
)
_COMMAS = re.compile(r"[,，][ \t]+|[、;；]")
_LINE_ESCAPE = re.compile(r"\\([ntrs\\])")
_LINE_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "s": " ", "\\": "\\"}
# What decorates headings: 【사람】, ■ PER.
_HEADING_SIGNS = " \t【】〔〕〈〉《》■□●○◆◇▶▷►★☆※<>[]{}=~"
_HEADING_MARKS = "■□●○◆◇▶▷►★☆※ "
_EDGE_QUOTES = "\"'“”‘’`*"


def unescape_line(surface: str) -> str:
    """Undo the escapes of a surface in a row."""
    if "\\" not in surface:
        return surface
    return _LINE_ESCAPE.sub(lambda match: _LINE_ESCAPES[match[1]], surface)


def read_lines(unwrapped: Unwrapped) -> Reading | None:
    """Read a reply as ``pairs`` if they were asked for, else as ``lines``."""
    name = "pairs" if unwrapped.asked == "pairs" else "lines"
    schema, parts = unwrapped.schema, unwrapped.parts
    for part in parts:
        collector = MentionCollector(schema, unwrapped.budget, unwrapped.source)
        read, unread = _read_part(part, schema, collector, surface_first=name == "pairs")
        if not collector.mentions and len(parts) == 1 and is_nothing(part):
            exact = unwrapped.asked == name and part.strip() == NOTHING
            return Reading(name, (), () if exact else ("none-word",))
        if not collector.mentions and _read_unlabelled(part, collector):
            return collector.reading(name)
        if collector.mentions or (read and not unread):
            return collector.reading(name, ["prose"] if unread else [])
    return None


def _read_unlabelled(part: str, collector: MentionCollector) -> bool:
    """Read lines of surfaces where one label was asked for, if the text has them all."""
    schema, source = collector.schema, collector.source
    if schema is None or source is None or len(schema.labels) != 1:
        return False
    rows = [line for line in part.split("\n") if line.strip()]
    bulleted = [line for line in rows if BULLET.match(line)]
    lines = [_undecorated(BULLET.sub("", line)) for line in bulleted or rows]
    surfaces = [piece.strip() for line in lines for piece in _COMMAS.split(line) if piece.strip()]
    if source.folded == fold(part) or not all(map(source.has, surfaces)):
        return False
    for surface in surfaces:
        collector.add(schema.labels[0].code, surface)
    collector.repairs["one-label"] = None
    return bool(surfaces)


def _undecorated(surface: str) -> str:
    """A surface without quotes, backquotes and asterisks around it."""
    stripped = surface.strip()
    if len(stripped) > 2000:
        return stripped
    while len(stripped) > 1 and stripped[0] in _EDGE_QUOTES and stripped[-1] in _EDGE_QUOTES:
        stripped = stripped[1:-1].strip()
    return stripped


def _collect_list(label: str, surfaces: str, collector: MentionCollector) -> None:
    """Collect surfaces with commas between, of one label."""
    for piece in _COMMAS.split(surfaces.strip()):
        if surface := _undecorated(piece):
            collect_surfaces(label, surface, collector)


def _read_part(
    text: str, schema: LabelSchema | None, collector: MentionCollector, *, surface_first: bool
) -> tuple[int, int]:
    """Read mentions line by line; the number of lines that were understood and that were not.

    Reads ``PS<TAB>손흥민`` (what the format writes) and ``손흥민<TAB>PS``, ``PS: 손흥민, 박지성``,
    ``손흥민 (PS)``, ``[손흥민:PS]``, bullets, numbering, table rows, and a line with only a label
    that is followed by its mentions.

    Args:
        text: The reply, or a part of it.
        schema: Resolves label names.
        collector: Takes the mentions.
        surface_first: Whether ``손흥민<TAB>PS`` was asked for. It decides which side is the surface
            if both could be labels.
    """
    read = unread = 0
    heading: str | None = None
    attributed = None
    if schema is not None and schema.has_attributes:
        attributed = AttributedLines(collector, schema, text)
    lines = text.split("\n") if attributed is None else attributed.lines
    for number, raw in enumerate(lines):
        collector.budget.spend(3 + len(raw) // 8)
        line = raw.strip("\r")
        if not line.strip():
            if unread:
                heading = None
            continue
        if surface_first:
            surface, tab, label = line.rpartition("\t")
        else:
            label, tab, surface = line.partition("\t")
        if _is_table_head(lines, number, collector):
            read += 1
            continue
        if attributed is not None and attributed.read(number):
            collector.repairs["line-style"] = None
            read += 1
            continue
        if tab and is_label(label, schema) and surface.strip():
            collect_surfaces(label, unescape_line(surface), collector)
            read += 1
            continue
        before = len(collector.mentions) + len(collector.repairs)
        bullet = BULLET.match(line)
        body = BULLET.sub("", _HEADING.sub("", line)).strip().lstrip(_HEADING_MARKS)
        if _read_line(body, schema, collector):
            read += 1
            if len(collector.mentions) + len(collector.repairs) > before:
                collector.repairs["line-style"] = None
            continue
        word = _undecorated(body.strip(_HEADING_SIGNS).rstrip(":： \t"))
        if len(word) <= 60 and is_label(word, schema):
            heading = word
            read += 1
            collector.repairs["line-style"] = None
        elif heading is not None and (bullet is not None or len(body) <= 60):
            collect_surfaces(heading, _undecorated(body), collector)
            collector.repairs["line-style"] = None
            read += 1
        elif is_nothing(body):
            read += 1
        else:
            heading = None
            unread += 1
    if attributed is not None:
        attributed.settle()
    if read:
        collector.shapes["lines"] = None
    return read, unread


def _is_table_head(lines: Sequence[str], number: int, collector: MentionCollector) -> bool:
    """Whether a line is the head of a Markdown table: over dashes, of words that the text lacks."""
    if "|" not in lines[number] or number + 1 >= len(lines):
        return False
    if _DIVIDER.fullmatch(lines[number + 1]) is None:
        return False
    source = collector.source
    cells = [_undecorated(cell) for cell in lines[number].strip().strip("|").split("|")]
    others = [cell for cell in cells if cell and not is_label(cell, collector.schema)]
    return source is not None and not any(map(source.has, others))


def _read_line(body: str, schema: LabelSchema | None, collector: MentionCollector) -> bool:
    """Read the mentions of one line; ``False`` if it has none."""
    bracketed = [
        (match[2], match[1]) for match in SQUARE_MARKUP.finditer(body) if is_label(match[2], schema)
    ]
    if bracketed:
        for label, surface in bracketed:
            collector.add(label, surface)
        return True
    if body.startswith("|") or body.count("|") >= 2 or "\t" in body:
        cells = [_undecorated(cell) for cell in re.split(r"[|\t]", body.strip("|"))]
        cells = [cell for cell in cells if cell and not re.fullmatch(r"[\s:\-]+|\d{1,3}", cell)]
        labels = [cell for cell in cells if is_label(cell, schema)]
        label_cells = set(labels)
        others = [cell for cell in cells if cell not in label_cells]
        if len(labels) == 1 and len(others) >= 1:
            collector.add(labels[0], unescape_line(others[0]))
            return True
    body = body.replace("**", "")
    described = _DESCRIBED.fullmatch(body)
    if described is not None and is_label(described["label"], schema):
        # 한빛회계 (OG): 회계법인. What follows says what it is, unless the head is the label too.
        surface = _undecorated(described["surface"])
        if not is_label(surface, schema) or (
            collector.source is not None and collector.source.has(surface)
        ):
            collector.add(described["label"], surface)
            return True
        _collect_list(described["label"], described["rest"], collector)
        return True
    couple = _PAIR.fullmatch(body)
    if couple is not None and is_label(couple[1], schema) != is_label(couple[2], schema):
        # (Lena, PER)
        label, surface = couple.groups() if is_label(couple[1], schema) else couple.groups()[::-1]
        collect_surfaces(label, _undecorated(surface), collector)
        return True
    headed = _HEADED.match(body)
    if headed is not None and is_label(headed[headed.lastgroup or 0], schema):
        # [PS] 민준 [LC] 춘천
        heads = [m for m in _HEADED.finditer(body) if is_label(m[m.lastgroup or 0], schema)]
        ends = [*[head.start() for head in heads[1:]], len(body)]
        for head, end in zip(heads, ends, strict=True):
            _collect_list(head[head.lastgroup or 0], body[head.end() : end], collector)
        return headed.end() < len(body)
    pieces = _COMMAS.split(body)
    pairs = [split_labelled(piece, schema) for piece in pieces]
    if len(pieces) > 1 and all(pair is not None for pair in pairs):
        # 손흥민(PS), 춘천(LC)
        for pair in pairs:
            if pair is not None:
                collector.add(pair[0], _undecorated(pair[1]))
        return True
    labelled = split_labelled(body, schema)
    if labelled is None:
        return False
    label, rest = labelled
    if rest[:1] in "[{":
        values = find_values(rest, collector.budget)
        if values:
            collect_surfaces(label, values[0].value, collector)
            return True
    for number, piece in enumerate(_COMMAS.split(rest)):
        other = split_labelled(piece, schema) if number else None
        if other is not None:
            # PS: 손흥민, LC: 춘천
            label, piece = other
        surface = _undecorated(piece)
        if surface:
            collect_surfaces(label, surface, collector)
    return True
