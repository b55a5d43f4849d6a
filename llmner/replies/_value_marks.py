"""Replies that set the value of an attribute beside each mention: ``[positive] food``."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from llmner.replies._attributed import value_named
from llmner.replies._mentions import MentionCollector
from llmner.replies._source import SourceText
from llmner.replies._types import Reading, Unwrapped
from llmner.schema import Label

__all__ = ["read_value_marks"]

_BULLET = re.compile(r"^[ \t]*+(?:[-*+•·‣▪◦]|\d{1,3}[.)])[ \t]+")
_INSIDE = r"[\[({<（【](?P<inside>[^\[\](){}<>（）【】\"]{1,200})[\])}>）】]"
# [positive] food, and food [positive]: a pleasure. Also positive: [food, wine list].
_FIRST = re.compile(rf"{_INSIDE}[ \t]*[:：–—-]?[ \t]*(?P<outside>[^\[\](){{}}<>\"]{{1,200}})")
_LAST = re.compile(
    rf"(?P<outside>[^\[\](){{}}<>\"]{{1,200}}?)[ \t]*[:：=]?[ \t]*{_INSIDE}"
    r"(?:[ \t]*[:：–—-][^\n]*)?"
)
_COMMAS = re.compile(r"[ \t]*[,，、;；][ \t]*")
_SIGNS = " \t*_`'“”‘’:：,;"
_LONGEST = 500

_Found: TypeAlias = tuple[list[str], dict[str, Any]]
"""Surfaces, and the attributes of each."""


def read_value_marks(unwrapped: Unwrapped) -> Reading | None:
    """Read lines with a mention and a value, one of them in brackets or the value at an end.

    ``None`` unless one label with attributes is asked for, every line is such a line, and all
    mentions are in the text. These brackets look like lists of JSON, with words for surfaces.
    """
    schema, source = unwrapped.schema, unwrapped.source
    if schema is None or source is None or len(schema.labels) != 1 or len(unwrapped.parts) != 1:
        return None
    (label,) = schema.labels
    if not label.closed_attributes:
        return None
    collector = MentionCollector(schema, unwrapped.budget, source)
    for line in unwrapped.parts[0].split("\n"):
        if not line.strip():
            continue
        unwrapped.budget.spend(1 + len(line) // 8)
        body = _BULLET.sub("", line).replace("**", "").strip()
        found = None if len(body) > _LONGEST else _marked(body, label, source)
        if found is None:
            return None
        surfaces, attributes = found
        for surface in surfaces:
            collector.add(label.code, surface, attributes)
    if not collector.mentions:
        return None
    collector.repairs["line-style"] = None
    return collector.reading("lines")


def _marked(body: str, label: Label, source: SourceText) -> _Found | None:
    """What a line says; ``None`` if it is no line with a mention and a value."""
    for pattern in (_FIRST, _LAST):
        match = pattern.fullmatch(body)
        if match is None:
            continue
        for value, surface in (match.group("inside", "outside"), match.group("outside", "inside")):
            attributes = value_named(value.strip(_SIGNS), label)
            surfaces = [part for part in _COMMAS.split(surface.strip(_SIGNS)) if part]
            if attributes and surfaces and all(map(source.has, surfaces)):
                return surfaces, attributes
        return None
    words = body.split()
    # food positive, but not the words of the text itself.
    if len(words) > 1 and not source.has(body):
        for value, rest in ((words[-1], words[:-1]), (words[0], words[1:])):
            attributes, surface = value_named(value, label), " ".join(rest)
            if attributes and source.has(surface):
                return [surface], attributes
    return None
