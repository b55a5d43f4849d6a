"""Collecting mentions, and recognising labels and words for nothing in a reply."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from llmner._budget import UNBOUNDED, Budget
from llmner.replies._source import SourceText
from llmner.replies._types import Reading
from llmner.schema import LabelSchema
from llmner.spans import Mention

__all__ = [
    "BULLET",
    "OUTSIDE",
    "MentionCollector",
    "is_label",
    "is_none_word",
    "is_nothing",
    "may_be_joined",
    "names_nothing",
    "split_labelled",
]

BULLET = re.compile(r"^[ \t]*+(?:(?:[-*+•·‣▪◦]|\d{1,3}[.)]|\(\d{1,3}\))[ \t]+|[・•·]\s*+)")
"""What stands before a line of a list."""
OUTSIDE = ("O", "o", "OUTSIDE")
"""Tags of tokens that are in no entity."""

_LABEL_CODE = re.compile(r"[A-Z][A-Z0-9_-]{0,15}")
# Possessive quantifiers (*+) keep the search linear: signs and spaces could be divided among the
# groups in many ways.
_NOTHING = re.compile(
    r"[\s\-–—.·*`'\"(]*+(?:(?:해당|관련)?\s*+(?:개체명?|항목|엔티티|사항)?\s*+(?:이|가|은|는)?\s*+"
    r"(?:없음|없습니다|없다|없어요|없네요)|none(?:\s+found)?|null|nothing|n/?a|empty|nil|"
    r"(?:該当)?(?:なし|無し)|(?:暂|暫)?[无無]|没有|沒有|keine?(?:\s+(?:gefunden|vorhanden))?|nichts)?+"
    r"[\s.!。*`'\")]*+",
    re.IGNORECASE,
)
_SAYS_NOTHING = re.compile(
    r"(?:개체명?|엔티티|이름)[^.\n]{0,20}(?:없|않|못)"
    r"|\b(?:no|not any|none of the)\s+(?:\w+\s+){0,2}(?:entit(?:y|ies)|names?|mentions?)\b"
    r"|\bkeine\s+(?:\w+\s+){0,2}(?:entit|namen|personen|orte|organisation)"
    r"|(?:固有表現|エンティティ|実体)[^。\n]{0,20}(?:な[いし]|ありません|見つかり)"
    r"|(?:没有|未(?:找到|发现|提及)|無|无)[^。\n]{0,12}(?:实体|實體|实例|命名)|(?:实体|實體)[^。\n]{0,8}(?:无|沒|没有)",
    re.IGNORECASE,
)
# A remark about one label, where its surfaces are expected: none found, 언급 없음, 文中没有.
_NO_SURFACE = re.compile(
    r"[\s(\[\-–—*_'\"]*+(?:"
    r"(?:[가-힣]++\s){0,2}(?:[가-힣]+?\s?)??(?:없음|없습니다|없다|없어요|없네요|없었습니다|않음|않습니다|않았습니다|못함)"
    r"|(?:there\s+(?:is|are)\s+)?(?:no|none)(?:\s+\w+){0,5}(?:\s+(?:found|mentioned|present|here|text))?"
    r"|not\s+(?:applicable|found|mentioned|present|available|any)(?:\s+\w+){0,4}|nothing|null|nil|n/?a|empty"
    r"|keine?[rsn]?(?:\s+\w+){0,4}|nicht\s+\w+(?:\s+\w+)?|nichts|entfällt|[^\s、。]{0,8}(?:な[しい]|無し|ありません)"
    r"|[^\s、。，]{0,8}(?:没有|沒有|未提及|未找到|未出现|未发现)[^\s、。，]{0,8}|(?:暂|暫)?[无無]"
    r"|[-–—.]*)[\s.!。)\]*_'\"]*+",
    re.IGNORECASE,
)
_BARE_NONE = re.compile(
    r"[\W_]*(?:none|null|nil|nothing|n/?a|empty|없음|なし|無し|无|無|keine?|nichts"
    r"|not (?:found|mentioned))?[\W_]*",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"->|=>|[:：|/=→\t]|\s[-–—]\s")
# The longest name that is put together of pieces.
_LONGEST_WHOLE = 1000
# Several surfaces in one string.
_LONGEST_LIST = 2000
_may_be_joined = re.compile(
    r"[\n,，、;；/|·&\[]|\s(?:and|und|or|oder|및|그리고|또는|와|과)\s|[과와랑고]\s|[と和与與及や]"
).search
_JOINTS = re.compile(r",(?!\d{3}(?!\d))|[，、;；|\n/]|<br\s?/?>")
_JOINTS_AND_WORDS = re.compile(
    r",(?!\d{3}(?!\d))|[，、;；/|·&]|\s(?:and|und|or|oder|및|그리고|또는|와|과)\s|(?<=[가-힣])(?:이랑|랑|하고|과|와)\s"
    r"|[と和与與及や]"
)
_LIST_MARK = re.compile(r"^\s*+(?:(?:[-*•·]|\d{1,3}[.)])\s++|(?:and|und|그리고)\s++)?")
_CLOSERS = {")": "(", "]": "[", ">": "<", "）": "（"}


def is_nothing(text: str) -> bool:
    """Whether a reply says that there is no entity.

    A blank reply, ``-``, 없음, 개체명이 없습니다, none and n/a say so.
    """
    if len(text) > 200:
        return False
    return _NOTHING.fullmatch(text) is not None or _SAYS_NOTHING.search(text) is not None


def names_nothing(value: str, source: SourceText | None) -> bool:
    """Whether what stands under a label says that there is no such entity: none found, 개체명 없음.

    A phrase that stands in the text is a name: 이름 없는 새, No Name. A bare word for nothing is
    none.
    """
    if len(value) > 80 or _NO_SURFACE.fullmatch(value) is None:
        return False
    return source is None or _BARE_NONE.fullmatch(value) is not None or not source.has(value)


def is_none_word(surface: str) -> bool:
    """Whether a surface is a bare word for nothing: 없음, none, なし."""
    return len(surface) <= 20 and _BARE_NONE.fullmatch(surface) is not None


def may_be_joined(surface: str) -> bool:
    """Whether a surface has a sign or a word that several names are joined by."""
    return len(surface) <= _LONGEST_LIST and _may_be_joined(surface) is not None


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
        source: The text that the reply is about, if it is known.
        mentions: The mentions so far.
        repairs: The kinds of repair that were made, in order; the values mean nothing.
        shapes: The formats whose shapes the values had, in order; the values mean nothing.
        nested: In how many strings the JSON stands that is being read.
    """

    def __init__(
        self,
        schema: LabelSchema | None,
        budget: Budget = UNBOUNDED,
        source: SourceText | None = None,
    ) -> None:
        self.schema = schema
        self.budget = budget
        self.source = source
        self.mentions: list[Mention] = []
        self.repairs: dict[str, None] = {}
        self.shapes: dict[str, None] = {}
        self.nested = 0
        # The label of the last mention, if it was a piece that others may continue.
        self._open = ""

    def add(
        self,
        label: str,
        text: str,
        attributes: dict[str, Any] | None = None,
        start: int | None = None,
    ) -> None:
        """Add one mention, with its label resolved.

        Pieces with tags (B-PS, I-PS) become one mention; several surfaces in one string become
        several.
        """
        if self.budget is not UNBOUNDED:
            self.budget.spend(4)
        code = self.schema.resolve(label) if self.schema is not None else None
        if code is not None and code != label:
            self.repairs["label-name"] = None
        name, text = code or label.strip(), str(text)
        prefix = _tag_prefix(label) if start is None else ""
        if prefix:
            self._add_piece(name, text, prefix)
            return
        self._open = ""
        surfaces = [text] if start is not None else self._surfaces(text, name)
        if len(surfaces) > 1:
            self.repairs["joined"] = None
        for surface in surfaces:
            self.mentions.append(Mention(name, surface, attributes or {}, start))

    def is_outside(self, tag: str) -> bool:
        """Whether a tag says that its token is in no entity; then the run of pieces ends."""
        if tag not in OUTSIDE or is_label(tag, self.schema):
            return False
        self.repairs["tags"] = None
        self.end_run()
        return True

    def end_run(self) -> None:
        """What was outside any entity ends the run of pieces."""
        self._open = ""

    def _add_piece(self, label: str, text: str, prefix: str) -> None:
        piece = text.removeprefix("##").lstrip("▁Ġ")
        continues = prefix in "IMEL" and self._open == label and self.mentions
        if continues and len(self.mentions[-1].text) < _LONGEST_WHOLE:
            last = self.mentions.pop()
            glued = text.startswith("##") or not _parted(last.text, piece, self.source)
            whole = f"{last.text}{piece}" if glued else f"{last.text} {piece}"
            self.mentions.append(Mention(label, whole, last.attributes))
            self.repairs["tags"] = None
        else:
            self.mentions.append(Mention(label, piece))
        self._open = label if prefix in "BIM" else ""

    def _has(self, surface: str) -> bool:
        """Whether the text, if it is known, has a surface."""
        return self.source is not None and self.source.has(surface)

    def _surfaces(self, text: str, label: str) -> list[str]:
        """The surfaces in one string: one, unless it is a list, or the text has its parts alone."""
        stripped = text.strip()
        person = self.schema is not None and label in self.schema.persons
        rest = stripped if self.source is None else _LIST_MARK.sub("", stripped, count=1)
        if rest != stripped and self._has(rest) and not self._has(stripped):
            # ["1. 민준", "2. 수아"]
            self.repairs["numbering"] = None
            return [rest]
        if len(stripped) > _LONGEST_LIST or _may_be_joined(stripped) is None:
            return [text]
        if self._has(stripped) and not ("、" in stripped and person):
            # No name of a person has the comma of Chinese and Japanese lists.
            return [text]
        if stripped[0] in "[{" and stripped[-1] in "]}" and not self._has(stripped[1:-1]):
            parts = [part.strip(" \t\"'“”‘’") for part in stripped[1:-1].split(",")]
            if len(parts) > 1 or '"' in stripped or "'" in stripped:
                return [part for part in parts if part] or [text]
        if self.source is None:
            return [text]
        for joints in (_JOINTS, _JOINTS_AND_WORDS):
            pieces = [_LIST_MARK.sub("", piece).strip() for piece in joints.split(stripped)]
            parts = [piece for piece in pieces if piece]
            if len(parts) > 1 and all(map(self._has, parts)):
                return parts
        return [text]

    def reading(self, format: str, extra: Iterable[str] = (), text: str | None = None) -> Reading:
        """The mentions and repairs, as a format's reading.

        Args:
            format: The format's name.
            extra: Repairs that were made before the values were interpreted.
            text: The plain sentence, if the reply repeats it.
        """
        return Reading(format, tuple(self.mentions), (*extra, *self.repairs), text)


def _tag_prefix(label: str) -> str:
    """The letter of a BIO tag: B of B-PS; empty for a label that is no tag."""
    label = label.strip()
    if len(label) > 2 and label[1] in "-_" and label[0] in "BIESLMU":
        return label[0]
    return ""


def _parted(left: str, right: str, source: SourceText | None) -> bool:
    """Whether two pieces of a name have a space between them."""
    if not left:
        return False
    if source is not None:
        source.spend(left)
        return f"{left}{right}" not in source.text
    return len(right) > 1 and right[0].isascii() and left[-1].isascii()


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
            return None if _is_same_label(head, tail, schema) else (head, tail)
        head, tail = text[:last_start].strip(), text[last_end:].strip()
        if head and tail and is_label(tail, schema):
            return tail, head
    if text[-1] in _CLOSERS:
        bracket = text.rfind(_CLOSERS[text[-1]])
        head, tail = text[:bracket].strip(), text[bracket + 1 : -1].strip()
        if bracket > 0 and head and tail:
            if _is_same_label(head, tail, schema):
                return None
            if is_label(tail, schema):
                return tail, head
            if is_label(head, schema):
                return head, tail
    return None


def _is_same_label(first: str, second: str, schema: LabelSchema | None) -> bool:
    """Whether two words name one label: 사람 and PS in the heading ``사람 (PS)``."""
    if schema is None or first.strip() == second.strip() or second.rstrip()[-1:] in _CLOSERS:
        return False
    code = schema.resolve(first)
    return code is not None and code == schema.resolve(second)
