"""From JSON values to mentions: which key is a label, which string a surface, whatever the shape.

Knows nothing of syntax. Nothing that may be a mention is dropped without a repair that says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from llmner._budget import UNBOUNDED, Budget
from llmner.replies._json import Number, Pairs
from llmner.replies._types import Reading
from llmner.schema import LabelSchema
from llmner.spans import Mention

__all__ = [
    "LABEL_KEYS",
    "TEXT_KEYS",
    "Found",
    "interpret",
    "is_label",
    "is_nothing",
    "normal_key",
    "split_labelled",
    "surfaces_under",
]

# Likeliest first: {"text": "손흥민", "span": "0-3"} has its surface under "text".
TEXT_KEYS = (
    "text surface word mention entity_text phrase name entity string content token value span "
    "텍스트 표현 표면형 단어 개체명 개체 이름 문자열 내용 값"
).split()
LABEL_KEYS = (
    "label entity_group entity_type entity_label ner_tag ner tag type category class kind "
    "라벨 레이블 유형 개체유형 개체명유형 종류 타입 분류 태그"
).split()
# In {"entity": "PS", "word": "손흥민"} the entity is the label; with a label beside it, it is the
# text.
_EITHER_KEYS = ("entity", "name", "개체", "개체명")
_WRAPPERS = frozenset(
    (
        "entities entity result results output answer response data ner named_entities items "
        "mentions spans "
        "values list predictions final 개체명 개체 개체목록 결과 답 정답 출력 응답 목록"
    ).split()
)
_BARE_LABEL = re.compile(r"[A-Z][A-Z0-9_-]{0,15}")
# Nothing that is taken is given back (*+): signs and spaces could else be shared out in many ways.
_NOTHING = re.compile(
    r"[\s\-–—.·*`'\"(]*+(?:(?:해당|관련)?\s*+(?:개체명?|항목|엔티티|사항)?\s*+(?:이|가|은|는)?\s*+"
    r"(?:없음|없습니다|없다|없어요|없네요)|none|null|nothing|n/?a|empty)?+[\s.!。*`'\")]*+",
    re.IGNORECASE,
)
_SAYS_NOTHING = re.compile(
    r"(?:개체명?|엔티티|이름)[^.\n]{0,20}(?:없|않|못)|\bno\s+(?:named\s+)?entit(?:y|ies)\b",
    re.IGNORECASE,
)
_NO_SURFACE = frozenset(
    ("", "-", "없음", "해당 없음", "해당없음", "없습니다", "none", "null", "n/a", "(없음)")
)
_SEPARATOR = re.compile(r"->|=>|[:：|/=→\t]|\s[-–—]\s")
_CLOSERS = {")": "(", "]": "[", ">": "<", "）": "（"}


def is_nothing(text: str) -> bool:
    """Whether a reply says that there is no entity: blank, ``-``, 없음, 개체명이 없습니다, none,
    n/a.
    """
    if len(text) > 200:
        return False
    return _NOTHING.fullmatch(text) is not None or _SAYS_NOTHING.search(text) is not None


def is_label(word: str, schema: LabelSchema | None) -> bool:
    """Whether ``word`` names a label: of the schema, or, without one, looks like a code."""
    if schema is not None:
        return schema.resolve(word) is not None
    return _BARE_LABEL.fullmatch(word.strip()) is not None


class Found:
    """Mentions gathered from one value, with what had to be mended and the shape they came in."""

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
        """One mention, with its label resolved."""
        if self.budget is not UNBOUNDED:
            self.budget.spend(4)
        code = self.schema.resolve(label) if self.schema is not None else None
        if code is not None and code != label:
            self.repairs["label-name"] = None
        self.mentions.append(Mention(code or label.strip(), str(text), attributes or {}, start))

    def reading(self, format: str, extra: Iterable[str] = (), text: str | None = None) -> Reading:
        """What was gathered, as a format's reading.

        Args:
            format: The format.
            extra: Repairs that were made before the values were looked at.
            text: The plain sentence, where the reply repeats it.
        """
        return Reading(format, tuple(self.mentions), (*extra, *self.repairs), text)


def interpret(value: Any, found: Found) -> None:
    """Add the mentions of one JSON value to ``found``. Depth is bounded by the parser."""
    if isinstance(value, Pairs):
        _object(value, found)
    elif isinstance(value, list):
        _list(value, found)


def normal_key(key: Any) -> str:
    if not isinstance(key, str):
        return ""
    # A few keys stand in every reply; longer ones are texts.
    return _kept_key(key) if len(key) <= 20 else _normal(key)


def _normal(key: str) -> str:
    return re.sub(r"[\s\-]", "_", str(key).strip().casefold())


_kept_key = lru_cache(maxsize=1024)(_normal)


def _strings(value: Any) -> list[str]:
    """A string or a list of strings as a list; anything else is none."""
    if isinstance(value, str) and not isinstance(value, Number):
        return [value]
    if (
        isinstance(value, list)
        and not isinstance(value, Pairs)
        and all(isinstance(v, str) for v in value)
    ):
        return [str(item) for item in value]
    return []


def _entity(pairs: Pairs, found: Found) -> tuple[list[str], str, dict[str, Any]] | None:
    """(surfaces, label, attributes) of an entity object, or ``None`` where it is none."""
    keys = {normal_key(key): value for key, value in pairs}
    strings = {key: held for key, value in keys.items() if (held := _strings(value))}
    labels = [(key, strings[key][0]) for key in LABEL_KEYS if key in strings]
    texts = [(key, strings[key]) for key in TEXT_KEYS if key in strings]
    chosen = next(
        (pair for pair in labels if is_label(pair[1], found.schema)), labels[0] if labels else None
    )
    if chosen is None:
        for key in _EITHER_KEYS:
            word = next(iter(strings.get(key, ())), None)
            others = [pair for pair in texts if pair[0] != key]
            if word is not None and others and is_label(word, found.schema):
                chosen, texts = (key, word), others
                break
    if chosen is None or not texts:
        return None
    text_key, surfaces = texts[0]
    rest = {str(key): value for key, value in pairs if normal_key(key) not in (chosen[0], text_key)}
    return surfaces, chosen[1], rest


def _object(pairs: Pairs, found: Found) -> None:
    entity = _entity(pairs, found)
    if entity is not None:
        found.shapes["json-list"] = None
        surfaces, label, attributes = entity
        for surface in surfaces:
            found.add(label, surface, attributes)
        return
    label_value = next(
        (value for key, value in pairs if normal_key(key) in LABEL_KEYS and isinstance(value, str)),
        None,
    )
    if label_value is not None:
        held = next((value for _, value in pairs if isinstance(value, list)), None)
        if held is not None and is_label(label_value, found.schema):
            # {"type": "PS", "entities": ["손흥민"]}
            found.shapes["json-list"] = None
            surfaces_under(label_value, held, found)
        else:
            # A label without a text: an entity object cut off in the middle.
            found.repairs["no-text"] = None
        return
    if (
        pairs
        and all(normal_key(key) in TEXT_KEYS and isinstance(value, str) for key, value in pairs)
        and (
            "json-list" in found.shapes
            or (
                found.schema is not None
                and not any(is_label(str(key), found.schema) for key, _ in pairs)
            )
        )
    ):
        # A text without a label: an entity object cut off in the middle.
        found.repairs["no-label"] = None
        return
    seen: set[str] = set()
    for key, value in pairs:
        if key is None:
            # {"손흥민:PS", ...}: a set, or a list in the wrong brackets.
            _element(value, found)
        elif not _inside(key, value, found):
            if key in seen:
                found.repairs["duplicate-key"] = None
            seen.add(key)
            found.shapes["json-by-type"] = None
            surfaces_under(key, value, found)


def _inside(key: str, value: Any, found: Found) -> bool:
    """Whether a key that is no label was dealt with: a wrapper, or a surface with its label for a
    value.
    """
    schema = found.schema
    if schema is not None and schema.resolve(key) is not None:
        return False
    if isinstance(value, Pairs):
        label = next(
            (v for k, v in value if normal_key(k) in LABEL_KEYS and isinstance(v, str)), None
        )
        if label is not None and _entity(value, found) is None and is_label(label, schema):
            # {"손흥민": {"type": "PS"}}
            found.shapes["json-by-type"] = None
            found.repairs["surface-keyed"] = None
            found.add(label, key)
            return True
        if schema is not None or normal_key(key) in _WRAPPERS or _entity(value, found) is not None:
            found.repairs["wrapped"] = None
            interpret(value, found)
            return True
    if isinstance(value, list) and (
        normal_key(key) in _WRAPPERS
        or any(isinstance(item, Pairs) and _entity(item, found) for item in value)
    ):
        found.repairs["wrapped"] = None
        interpret(value, found)
        return True
    if isinstance(value, str) and is_label(value, schema) and not is_label(key, None):
        found.shapes["json-by-type"] = None
        found.repairs["surface-keyed"] = None
        found.add(value, key)
        return True
    return False


def surfaces_under(label: str, value: Any, found: Found, *, alone: bool = True) -> None:
    """What stands under a label: strings, lists of them, nested lists, objects with a text.

    A word that says "none" is no surface where it stands alone; among others it may be a name.
    """
    if isinstance(value, Pairs):
        _object_under(label, value, found)
    elif isinstance(value, list):
        words = [item for item in value if isinstance(item, str) and not isinstance(item, Number)]
        for item in value:
            if isinstance(item, Number) and words and not alone:
                # ["손흥민", 0, 3] under a label: offsets nobody asked for.
                found.repairs["offsets"] = None
                continue
            nested = isinstance(item, list) and not isinstance(item, Pairs)
            if nested:
                found.repairs["nested-list"] = None
            surfaces_under(label, item, found, alone=len(value) == 1 if not nested else False)
    elif value is None:
        found.repairs["null"] = None
    elif (
        isinstance(value, bool)
        or not value.strip()
        or (alone and value.strip().casefold() in _NO_SURFACE)
    ):
        found.repairs["none-word"] = None
    else:
        found.add(label, value)


def _object_under(label: str, pairs: Pairs, found: Found) -> None:
    keys = {normal_key(key): item for key, item in pairs}
    for key in TEXT_KEYS:
        surfaces = _strings(keys.get(key))
        if surfaces:
            rest = {str(k): item for k, item in pairs if normal_key(k) != key}
            for surface in surfaces:
                found.add(label, surface, rest)
            return
    found.repairs["object-for-list"] = None
    for key, item in pairs:
        if isinstance(item, list):
            surfaces_under(label, item, found)
        elif key is None or str(key).strip().isdigit():
            # A set, or a list written as {"1": ..., "2": ...}
            surfaces_under(label, item, found)
        else:
            found.add(label, key)


def _list(values: list[Any], found: Found) -> None:
    strings = [
        value for value in values if isinstance(value, str) and not isinstance(value, Number)
    ]
    if len(strings) == 2 and len(values) == len(strings) + sum(
        isinstance(v, Number) for v in values
    ):
        first, second = strings
        if is_label(first, found.schema) != is_label(second, found.schema):
            found.shapes["json-list"] = None
            found.repairs["pair"] = None
            label, text = (first, second) if is_label(first, found.schema) else (second, first)
            found.add(label, text)
            return
    if (
        len(values) == 2
        and isinstance(values[0], str)
        and isinstance(values[1], list)
        and not isinstance(values[1], Pairs)
        and is_label(values[0], found.schema)
    ):
        found.repairs["pair"] = None
        surfaces_under(values[0], values[1], found)
        return
    for value in values:
        _element(value, found)


def split_labelled(text: str, schema: LabelSchema | None) -> tuple[str, str] | None:
    """(label, surface) of ``PS: 손흥민``, ``손흥민:PS``, ``손흥민 (PS)``; ``None`` where it is
    neither.
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
        at = text.rfind(_CLOSERS[text[-1]])
        head, tail = text[:at].strip(), text[at + 1 : -1].strip()
        if at > 0 and head and tail:
            if is_label(tail, schema):
                return tail, head
            if is_label(head, schema):
                return head, tail
    return None


def _element(value: Any, found: Found) -> None:
    """One element of a list that stands under no label."""
    if isinstance(value, list):
        interpret(value, found)
    elif isinstance(value, str):
        labelled = split_labelled(value, found.schema)
        if labelled is not None:
            found.shapes["json-list"] = None
            found.repairs["labelled-string"] = None
            found.add(*labelled)
        elif value.strip().casefold() in _NO_SURFACE:
            found.repairs["none-word"] = None
        else:
            found.repairs["unlabelled"] = None
