"""From JSON values to mentions: which key is a label, which string a surface, whatever the shape.

Knows nothing of syntax. Nothing that may be a mention is dropped without a repair that says so.
"""

from __future__ import annotations

import re
from typing import Any

from llmner.replies._json import Pairs
from llmner.schema import LabelSchema
from llmner.spans import Mention

__all__ = ["Found", "interpret", "is_label", "is_nothing"]

_TEXT_KEYS = frozenset(
    (
        "text surface word mention value span name entity entity_text string content token phrase "
        "텍스트 표현 표면형 단어 이름 개체 개체명 값 문자열 내용"
    ).split()
)
_LABEL_KEYS = frozenset(
    (
        "label type tag entity_group entity_type entity_label category class ner ner_tag kind 라벨 "
        "레이블 유형 종류 타입 분류 태그 개체유형 개체명유형"
    ).split()
)
# In {"entity": "PS", "word": "손흥민"} the entity is the label; with a label beside it, it is the text.
_EITHER_KEYS = ("entity", "name", "개체", "개체명")
_WRAPPERS = frozenset(
    (
        "entities entity result results output answer response data ner named_entities items "
        "mentions spans predictions final 개체명 개체 개체목록 결과 답 정답 출력 응답"
    ).split()
)
_BARE_LABEL = re.compile(r"[A-Z][A-Z0-9_-]{0,15}")
_NOTHING = re.compile(
    r"[\s\-–—.·*`'\"(]*(?:(?:해당|관련)?\s*(?:개체(?:명)?|항목|엔티티|사항)?\s*(?:이|가|은|는)?\s*"
    r"(?:발견되지\s*않\w*|찾을\s*수\s*없\w*|존재하지\s*않\w*|없음|없습니다|없다|없어요|없네요)"
    r"|(?:there\s+are\s+)?no(?:\s+named)?\s+entit(?:y|ies)(?:\s+(?:were\s+|was\s+)?(?:found|detected))?"
    r"|none|null|nothing|n/?a|empty|-+)?[\s.!。*`'\")]*",
    re.IGNORECASE,
)


def is_nothing(text: str) -> bool:
    """Whether a short text says that there is no entity: blank, ``-``, 없음, 개체 없음, none, n/a."""
    return len(text) <= 80 and _NOTHING.fullmatch(text) is not None


def is_label(word: str, schema: LabelSchema | None) -> bool:
    """Whether ``word`` names a label: of the schema, or, without one, looks like a code."""
    if schema is not None:
        return schema.resolve(word) is not None
    return _BARE_LABEL.fullmatch(word.strip()) is not None


class Found:
    """Mentions gathered from one value, with what had to be mended and the shape they came in."""

    def __init__(self, schema: LabelSchema | None) -> None:
        self.schema = schema
        self.mentions: list[Mention] = []
        self.repairs: dict[str, None] = {}
        self.shapes: dict[str, None] = {}

    def add(self, label: str, text: Any, attributes: dict[str, Any] | None = None) -> None:
        """One mention, with its label resolved; surfaces that say "none" are not mentions."""
        if text is None or isinstance(text, bool) or is_nothing(str(text)):
            self.repairs["none-word" if text else "null"] = None
            return
        code = self.schema.resolve(label) if self.schema is not None else None
        if code is not None and code != label:
            self.repairs["label-name"] = None
        self.mentions.append(Mention(code or label.strip(), str(text), attributes or {}))


def interpret(value: Any, found: Found) -> None:
    """Add the mentions of one JSON value to ``found``. Depth is bounded by the parser."""
    if isinstance(value, Pairs):
        _object(value, found)
    elif isinstance(value, list):
        _list(value, found)


def _key(key: Any) -> str:
    return re.sub(r"[\s\-]", "_", str(key).strip().casefold()) if isinstance(key, str) else ""


def _text_and_label(pairs: Pairs, found: Found) -> tuple[Any, str, dict[str, Any]] | None:
    """(text, label, attributes) of an entity object, or ``None`` where it is none."""
    keys = {_key(key): value for key, value in pairs}
    label = next((value for key, value in keys.items() if key in _LABEL_KEYS and isinstance(value, str)), None)
    text = next((value for key, value in keys.items() if key in _TEXT_KEYS and isinstance(value, str)), None)
    used = _LABEL_KEYS | _TEXT_KEYS
    if label is None:
        for key in _EITHER_KEYS:
            word = keys.get(key)
            others = [v for k, v in keys.items() if k in _TEXT_KEYS and k != key and isinstance(v, str)]
            if isinstance(word, str) and others and is_label(word, found.schema):
                label, text = word, others[0]
                break
    if label is None or text is None:
        return None
    return text, label, {str(key): value for key, value in pairs if _key(key) not in used}


def _object(pairs: Pairs, found: Found) -> None:
    entity = _text_and_label(pairs, found)
    if entity is not None:
        found.shapes["json-list"] = None
        text, label, attributes = entity
        found.add(label, text, attributes)
        return
    if any(_key(key) in _LABEL_KEYS and isinstance(value, str) for key, value in pairs):
        # A label without a text: an entity object cut off in the middle.
        found.repairs["no-text"] = None
        return
    seen: set[str] = set()
    for key, value in pairs:
        if key is None:
            # {"손흥민:PS", ...}: a set, or a list in the wrong brackets.
            _element(value, found)
            continue
        known = found.schema is not None and found.schema.resolve(key) is not None
        holds_objects = isinstance(value, Pairs) or (
            isinstance(value, list) and any(isinstance(item, Pairs) for item in value)
        )
        wrapper = _key(key) in _WRAPPERS or (found.schema is not None and isinstance(value, Pairs))
        if not known and wrapper and isinstance(value, list):
            found.repairs["wrapped"] = None
            interpret(value, found)
            continue
        if not known and isinstance(value, str) and is_label(value, found.schema) and not is_label(key, None):
            found.shapes["json-by-type"] = None
            found.repairs["surface-keyed"] = None
            found.add(value, key)
            continue
        if not known and holds_objects:
            found.repairs["wrapped"] = None
            interpret(value, found)
            continue
        if key in seen:
            found.repairs["duplicate-key"] = None
        seen.add(key)
        found.shapes["json-by-type"] = None
        _surfaces(key, value, found)


def _surfaces(label: str, value: Any, found: Found) -> None:
    """What stands under a label: strings, lists of them, nested lists, objects with a text."""
    if isinstance(value, Pairs):
        keys = {_key(key): item for key, item in value}
        text = next((item for key, item in keys.items() if key in _TEXT_KEYS and isinstance(item, str)), None)
        if text is not None:
            rest = {str(key): item for key, item in value if _key(key) not in _TEXT_KEYS}
            found.add(label, text, rest)
            return
        found.repairs["object-for-list"] = None
        for key, item in value:
            surface = item if key is None else key
            if isinstance(surface, str):
                found.add(label, surface)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, list) and not isinstance(item, Pairs):
                found.repairs["nested-list"] = None
            _surfaces(label, item, found)
    else:
        if value is None:
            found.repairs["null"] = None
            return
        found.add(label, value)


def _list(values: list[Any], found: Found) -> None:
    strings = [value for value in values if isinstance(value, str)]
    if len(values) == 2 and len(strings) == 2:
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
        _surfaces(values[0], values[1], found)
        return
    for value in values:
        _element(value, found)


_LABELLED = re.compile(r"(?P<a>.+?)\s*(?:[:：|/=→\t]|->|=>)\s*(?P<b>[^:：|/=→\t]+)", re.DOTALL)
_PAREN = re.compile(r"(?P<a>.+?)\s*[(\[<]\s*(?P<b>[^()\[\]<>]+)\s*[)\]>]", re.DOTALL)


def split_labelled(text: str, schema: LabelSchema | None) -> tuple[str, str] | None:
    """(label, surface) of ``PS: 손흥민``, ``손흥민:PS``, ``손흥민 (PS)``; ``None`` where it is neither."""
    if len(text) > 2000:
        return None
    head, separator, tail = text.partition(":")
    if separator and tail.strip() and is_label(head, schema):
        return head, tail.strip()
    for pattern in (_LABELLED, _PAREN):
        match = pattern.fullmatch(text.strip())
        if match is None:
            continue
        a, b = match["a"].strip(), match["b"].strip()
        if is_label(b, schema) and a:
            return b, a
        if is_label(a, schema) and b:
            return a, b
    return None


def _element(value: Any, found: Found) -> None:
    """One element of a list that stands under no label."""
    if isinstance(value, (Pairs, list)):
        interpret(value, found)
    elif isinstance(value, str):
        if is_nothing(value):
            found.repairs["none-word"] = None
            return
        labelled = split_labelled(value, found.schema)
        if labelled is not None:
            found.shapes["json-list"] = None
            found.repairs["labelled-string"] = None
            found.add(*labelled)
        else:
            found.repairs["unlabelled"] = None
