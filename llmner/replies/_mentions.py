"""Collecting mentions, and recognising labels and words for nothing in a reply."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from llmner._budget import UNBOUNDED, Budget
from llmner.replies._types import Reading
from llmner.schema import LabelSchema
from llmner.spans import Mention

__all__ = ["MentionCollector", "is_label", "is_nothing", "split_labelled"]

_LABEL_CODE = re.compile(r"[A-Z][A-Z0-9_-]{0,15}")
# Possessive quantifiers (*+) keep the search linear: signs and spaces could be divided among the
# groups in many ways.
_NOTHING = re.compile(
    r"[\s\-–—.·*`'\"(]*+(?:(?:해당|관련)?\s*+(?:개체명?|항목|엔티티|사항)?\s*+(?:이|가|은|는)?\s*+"
    r"(?:없음|없습니다|없다|없어요|없네요)|none|null|nothing|n/?a|empty)?+[\s.!。*`'\")]*+",
    re.IGNORECASE,
)
_SAYS_NOTHING = re.compile(
    r"(?:개체명?|엔티티|이름)[^.\n]{0,20}(?:없|않|못)|\bno\s+(?:named\s+)?entit(?:y|ies)\b",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"->|=>|[:：|/=→\t]|\s[-–—]\s")
_CLOSERS = {")": "(", "]": "[", ">": "<", "）": "（"}


def is_nothing(text: str) -> bool:
    """Whether a reply says that there is no entity.

    A blank reply, ``-``, 없음, 개체명이 없습니다, none and n/a say so.
    """
    if len(text) > 200:
        return False
    return _NOTHING.fullmatch(text) is not None or _SAYS_NOTHING.search(text) is not None


def is_label(word: str, schema: LabelSchema | None) -> bool:
    """Whether ``word`` names a label of the schema or, without a schema, looks like a code."""
    if schema is not None:
        return schema.resolve(word) is not None
    return _LABEL_CODE.fullmatch(word.strip()) is not None


class MentionCollector:
    """The mentions of one part of a reply, with the repairs and the shapes they came in.

    Attributes:
        schema: Resolves label names.
        budget: Is charged for every mention.
        mentions: The mentions so far.
        repairs: The kinds of repair that were made, in order; the values mean nothing.
        shapes: The formats whose shapes the values had, in order; the values mean nothing.
    """

    def __init__(self, schema: LabelSchema | None, budget: Budget = UNBOUNDED) -> None:
        self.schema = schema
        self.budget = budget
        self.mentions: list[Mention] = []
        self.repairs: dict[str, None] = {}
        self.shapes: dict[str, None] = {}

    def add(
        self,
        label: str,
        text: str,
        attributes: dict[str, Any] | None = None,
        start: int | None = None,
    ) -> None:
        """Add one mention, with its label resolved."""
        if self.budget is not UNBOUNDED:
            self.budget.spend(4)
        code = self.schema.resolve(label) if self.schema is not None else None
        if code is not None and code != label:
            self.repairs["label-name"] = None
        self.mentions.append(Mention(code or label.strip(), str(text), attributes or {}, start))

    def reading(self, format: str, extra: Iterable[str] = (), text: str | None = None) -> Reading:
        """The mentions and repairs, as a format's reading.

        Args:
            format: The format's name.
            extra: Repairs that were made before the values were interpreted.
            text: The plain sentence, if the reply repeats it.
        """
        return Reading(format, tuple(self.mentions), (*extra, *self.repairs), text)


def split_labelled(text: str, schema: LabelSchema | None) -> tuple[str, str] | None:
    """(label, surface) of a text that names both; ``None`` for any other text.

    >>> split_labelled("PS: 손흥민", None)
    ('PS', '손흥민')
    >>> split_labelled("손흥민 (PS)", None)
    ('PS', '손흥민')
    """
    text = text.strip()
    if not text or len(text) > 2000:
        return None
    separators = [match.span() for match in _SEPARATOR.finditer(text)]
    if separators:
        (start, end), (last_start, last_end) = separators[0], separators[-1]
        head, tail = text[:start].strip(), text[end:].strip()
        if head and tail and is_label(head, schema):
            return head, tail
        head, tail = text[:last_start].strip(), text[last_end:].strip()
        if head and tail and is_label(tail, schema):
            return tail, head
    if text[-1] in _CLOSERS:
        bracket = text.rfind(_CLOSERS[text[-1]])
        head, tail = text[:bracket].strip(), text[bracket + 1 : -1].strip()
        if bracket > 0 and head and tail:
            if is_label(tail, schema):
                return tail, head
            if is_label(head, schema):
                return head, tail
    return None
