"""From JSON values to mentions: which key or string is a label and which is a surface.

The values may have any shape. A possible mention is never dropped without a repair that says so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from llmner.replies._attributed import (
    add_attributed_key,
    add_attributed_list,
    add_attributed_object,
    add_attributed_under,
)
from llmner.replies._json import find_values, is_too_deep
from llmner.replies._json_values import Number, Pairs
from llmner.replies._mentions import (
    OUTSIDE,
    MentionCollector,
    is_label,
    names_nothing,
    split_labelled,
)

__all__ = [
    "LABEL_KEYS",
    "TEXT_KEYS",
    "collect_surfaces",
    "first_of",
    "interpret",
    "likeliest",
    "normalize_key",
]


def _ranked(keys: str) -> dict[str, int]:
    return {key: rank for rank, key in enumerate(keys.split())}


# Each key with its rank, the likeliest first: the surface of {"text": "손흥민", "span": "0-3"} is
# under "text".
TEXT_KEYS = _ranked(
    "text surface word mention entity_text phrase name entity string content token value span "
    "extraction_text mention_text entity_name entity_value surface_form span_text "
    "텍스트 표현 표면형 단어 개체명 개체 이름 문자열 내용 값 文本 实体 實體 词 名称 名稱 テキスト "
    "表現 文字列 固有表現"
)
LABEL_KEYS = _ranked(
    "label entity_group entity_type entity_label ner_tag ner tag type category class kind "
    "extraction_class entity_class label_type bio tags "
    "라벨 레이블 유형 개체유형 개체명유형 종류 타입 분류 태그 类型 類型 标签 標籤 类别 類別 種類 "
    "ラベル タイプ"
)
# The entity is the label in {"entity": "PS", "word": "손흥민"}, and the text in
# {"entity": "손흥민", "type": "PS"}.
_EITHER_KEYS = ("entity", "name", "개체", "개체명")
# Keys of objects around the answer.
_WRAPPERS = frozenset(
    (
        "entities entity result results output answer response data ner named_entities items "
        "mentions spans "
        "values list predictions final extractions tool_calls calls content text "
        "개체명 개체 개체목록 결과 답 정답 출력 응답 목록 实体 實體 结果 エンティティ 結果 "
        "entitäten ergebnis"
    ).split()
)
# Keys of what a tool is called with.
_ARGUMENTS = "arguments parameters args input tool_input function_call function".split()
# What langextract and others add to a label's key: PS_attributes.
_ABOUT = re.compile(r"(?P<key>.+)_(?:attributes?|index|id|start|end|score|confidence|position)")
# JSON in strings is read in strings of strings so often, and of values that are no deeper.
_LONGEST_NESTED = 100_000
_MOST_NESTED = 3
_DEEPEST_NESTED = 20


def interpret(value: Any, collector: MentionCollector) -> None:
    """Add the mentions of one JSON value to ``collector``.

    The parser limits the depth of the recursion.
    """
    if isinstance(value, Pairs):
        _read_object(value, collector)
    elif isinstance(value, list):
        _read_list(value, collector)


def normalize_key(key: Any) -> str:
    """A key in lower case, with underscores for spaces and hyphens; ``""`` for what is no string.

    >>> normalize_key(" Entity Type")
    'entity_type'
    """
    if not isinstance(key, str):
        return ""
    # The same few keys stand in every reply. Longer ones are surfaces.
    return _normalize_cached(key) if len(key) <= 20 else _normalize(key)


def _normalize(key: str) -> str:
    return re.sub(r"[\s\-]", "_", str(key).strip().casefold())


_normalize_cached = lru_cache(maxsize=1024)(_normalize)


def likeliest(keys: Iterable[str], ranks: Mapping[str, int]) -> list[str]:
    """The keys that have a rank, the likeliest first."""
    return sorted((key for key in keys if key in ranks), key=ranks.__getitem__)


def first_of(values: Mapping[str, str], ranks: Mapping[str, int]) -> str:
    """The value that is not blank under the likeliest key; ``""`` if there is none.

    >>> first_of({"span": "0-3", "text": "손흥민"}, TEXT_KEYS)
    '손흥민'
    """
    return next((values[key] for key in likeliest(values, ranks) if values[key]), "")


def _strings(value: Any) -> list[str]:
    """The strings of a string or a list of strings; none of any other value."""
    if isinstance(value, str) and not isinstance(value, Number):
        return [value]
    if (
        isinstance(value, list)
        and not isinstance(value, Pairs)
        and all(isinstance(v, str) for v in value)
    ):
        return [str(item) for item in value]
    return []


def _parse_entity(
    pairs: Pairs, collector: MentionCollector
) -> tuple[list[str], str, dict[str, Any]] | None:
    """(surfaces, label, attributes) of an entity object; ``None`` for any other object."""
    keys = {normalize_key(key): value for key, value in pairs}
    strings = {key: words for key, value in keys.items() if (words := _strings(value))}
    labels = [(key, strings[key][0]) for key in likeliest(strings, LABEL_KEYS)]
    texts = [(key, strings[key]) for key in likeliest(strings, TEXT_KEYS)]
    label = next(
        (pair for pair in labels if is_label(pair[1], collector.schema)),
        labels[0] if labels else None,
    )
    if label is None:
        for key in _EITHER_KEYS:
            word = next(iter(strings.get(key, ())), None)
            others = [pair for pair in texts if pair[0] != key]
            if word is not None and others and is_label(word, collector.schema):
                label, texts = (key, word), others
                break
    if label is None or not texts:
        return None
    label_key, label_word = label
    text_key, surfaces = texts[0]
    return surfaces, label_word, _attributes(pairs, (label_key, text_key))


def _attributes(pairs: Pairs, others: Collection[str]) -> dict[str, Any]:
    """What an object says beside the keys that were read; objects in it become plain ones."""
    return {str(key): _plain(value) for key, value in pairs if normalize_key(key) not in others}


def _plain(value: Any) -> Any:
    """A value with plain objects in it."""
    if isinstance(value, Pairs):
        return value.to_dict()
    if isinstance(value, list):
        return [item.to_dict() if isinstance(item, Pairs) else item for item in value]
    return value


def _read_object(pairs: Pairs, collector: MentionCollector) -> None:
    if _read_call(pairs, collector):
        return
    # {"text": "food", "label": "positive"}: where one label was asked for.
    if not _names_label(pairs, collector) and add_attributed_object(pairs, collector):
        collector.shapes["json-list"] = None
        collector.repairs["one-label"] = None
        return
    entity = _parse_entity(pairs, collector)
    if entity is not None:
        collector.shapes["json-list"] = None
        surfaces, label, attributes = entity
        if collector.is_outside(label):
            return
        for surface in surfaces:
            if len(surfaces) == 1 and names_nothing(surface, collector.source):
                collector.repairs["none-word"] = None
            else:
                collector.add(label, surface, attributes)
        return
    labels = {str(key) for key, _ in pairs if is_label(str(key), collector.schema)}
    if not labels and _read_parallel_lists(pairs, collector):
        return
    label_value = next(
        (
            value
            for key, value in pairs
            if normalize_key(key) in LABEL_KEYS and isinstance(value, str)
        ),
        None,
    )
    if label_value is not None:
        listed = next((value for _, value in pairs if isinstance(value, list)), None)
        if listed is not None and is_label(label_value, collector.schema):
            # {"type": "PS", "entities": ["손흥민"]}
            collector.shapes["json-list"] = None
            collect_surfaces(label_value, listed, collector)
        else:
            # A label without a text: an entity object that was cut off.
            collector.repairs["no-text"] = None
        return
    if (
        pairs
        and all(normalize_key(key) in TEXT_KEYS and isinstance(value, str) for key, value in pairs)
        and (
            "json-list" in collector.shapes
            or (
                collector.schema is not None
                and not any(
                    str(key) in labels and not _is_text_key(key, value) for key, value in pairs
                )
            )
        )
    ):
        # A text without a label: an entity object that was cut off.
        if not _has_one_label(collector):
            collector.repairs["no-label"] = None
            return
        for _, value in pairs[:1]:
            _read_element(value, collector)
        return
    seen: set[str] = set()
    about = _notes_by_key(pairs)
    for key, value in pairs:
        if isinstance(key, str) and (note := _ABOUT.fullmatch(key)) and note["key"] in about:
            continue
        if _is_text_key(key, value) and not labels - {key}:
            # {"name": "춘천"}: name may be a word for people, and says here what is meant.
            collector.repairs["no-label"] = None
            continue
        if key is None:
            # {"손흥민:PS", ...}: a set, or a list in the wrong brackets.
            _read_element(value, collector)
        elif not _read_other_key(key, value, collector):
            if key in seen:
                collector.repairs["duplicate-key"] = None
            seen.add(key)
            collector.shapes["json-by-type"] = None
            if about.get(key) and isinstance(value, str) and not isinstance(value, Number):
                collector.add(key, value, about[key])
            else:
                collect_surfaces(key, value, collector)


def _names_label(pairs: Pairs, collector: MentionCollector) -> bool:
    """Whether a value of an object is a label."""
    return any(isinstance(value, str) and is_label(value, collector.schema) for _, value in pairs)


def _read_parallel_lists(pairs: Pairs, collector: MentionCollector) -> bool:
    """Read {"tokens": [...], "tags": [...]}: a tag or a label for each token."""
    lists = [_strings(value) for _, value in pairs if isinstance(value, list)]
    lists = [words for words in lists if words]
    if len(lists) != 2 or len(lists[0]) != len(lists[1]):
        return False
    for tokens, tags in (lists, lists[::-1]):
        if all(tag in OUTSIDE or is_label(tag, collector.schema) for tag in tags):
            if all(is_label(token, collector.schema) for token in tokens):
                return False
            collector.shapes["json-list"] = None
            collector.repairs["tags"] = None
            for token, tag in zip(tokens, tags, strict=True):
                if not collector.is_outside(tag):
                    collector.add(tag, token)
            return True
    return False


def _read_call(pairs: Pairs, collector: MentionCollector) -> bool:
    """Read what a tool is called with: {"name": "extract", "arguments": {"PS": [...]}}."""
    keys = {normalize_key(key): value for key, value in pairs}
    arguments = next((keys[key] for key in _ARGUMENTS if key in keys), None)
    if arguments is None or not ("name" in keys or "type" in keys or len(keys) == 1):
        return False
    collector.repairs["tool-call"] = None
    _interpret_nested(arguments, collector)
    return True


def _interpret_nested(value: Any, collector: MentionCollector) -> None:
    """Add the mentions of a value that may be JSON in a string."""
    if not isinstance(value, str):
        interpret(value, collector)
        return
    if collector.nested == _MOST_NESTED or len(value) >= _LONGEST_NESTED:
        collector.repairs["too-deep"] = None
        return
    collector.nested += 1
    for parsed in find_values(value, collector.budget):
        collector.repairs["escaped"] = None
        if is_too_deep(parsed.value, _DEEPEST_NESTED):
            collector.repairs["too-deep"] = None
        else:
            interpret(parsed.value, collector)
    collector.nested -= 1


def _notes_by_key(pairs: Pairs) -> dict[str, dict[str, Any]]:
    """Key → what other keys say about it: {"PS": "민준", "PS_attributes": {"role": "학생"}}."""
    keys = {key for key, _ in pairs if isinstance(key, str)}
    notes: dict[str, dict[str, Any]] = {}
    for key, value in pairs:
        match = _ABOUT.fullmatch(key) if isinstance(key, str) else None
        if match is not None and match["key"] in keys:
            own = notes.setdefault(match["key"], {})
            if isinstance(value, Pairs):
                own.update((str(name), item) for name, item in value)
            elif value is not None:
                own[key[len(match["key"]) + 1 :]] = value
    return notes


def _labels_in(value: Any) -> list[str]:
    """What may be labels in a list under a surface: strings, and labels of objects without a
    text.
    """
    words: list[str] = []
    for item in value if isinstance(value, list) and not isinstance(value, Pairs) else ():
        if isinstance(item, Pairs):
            keys = {normalize_key(key): word for key, word in item}
            if any(key in TEXT_KEYS for key in keys):
                return []
            words += [
                keys[key] for key in likeliest(keys, LABEL_KEYS) if isinstance(keys[key], str)
            ]
        elif isinstance(item, str):
            words.append(item)
        else:
            return []
    return words


def _is_text_key(key: Any, value: Any) -> bool:
    """Whether a key says that its value is a surface, not that it is the label's: name, entity."""
    return normalize_key(key) in TEXT_KEYS and isinstance(value, str) and str(key).islower()


def _has_one_label(collector: MentionCollector) -> bool:
    return collector.schema is not None and len(collector.schema.labels) == 1


def _read_other_key(key: str, value: Any, collector: MentionCollector) -> bool:
    """Read a key that is no label, and its value; ``False`` if the key may be a label after all.

    Such a key is a wrapper around the answer, or a surface whose value is its label.
    """
    schema = collector.schema
    if schema is not None and schema.resolve(key) is not None:
        return False
    if add_attributed_key(key, value, collector):
        collector.shapes["json-by-type"] = None
        collector.repairs["surface-keyed"] = None
        return True
    if isinstance(value, Pairs):
        label = next(
            (v for k, v in value if normalize_key(k) in LABEL_KEYS and isinstance(v, str)), None
        )
        if (
            label is not None
            and _parse_entity(value, collector) is None
            and is_label(label, schema)
        ):
            # {"손흥민": {"type": "PS"}}
            collector.shapes["json-by-type"] = None
            collector.repairs["surface-keyed"] = None
            collector.add(label, key, _attributes(value, LABEL_KEYS))
            return True
        if (
            schema is not None
            or normalize_key(key) in _WRAPPERS
            or _parse_entity(value, collector) is not None
        ):
            collector.repairs["wrapped"] = None
            interpret(value, collector)
            return True
    if isinstance(value, list) and (
        normalize_key(key) in _WRAPPERS
        or any(isinstance(item, Pairs) and _parse_entity(item, collector) for item in value)
    ):
        collector.repairs["wrapped"] = None
        interpret(value, collector)
        return True
    words = [word for word in _labels_in(value) if not isinstance(word, Number)]
    if (
        isinstance(value, list)
        and words
        and normalize_key(key) not in _WRAPPERS
        and all(is_label(word, schema) for word in words)
        and (schema is not None or not is_label(key, None))
    ):
        # {"민준": ["PS"]}
        collector.shapes["json-by-type"] = None
        collector.repairs["surface-keyed"] = None
        collector.add(words[0], key)
        return True
    if (
        isinstance(value, str)
        and value.lstrip()[:1] in ("{", "[")
        and (normalize_key(key) in _WRAPPERS or normalize_key(key) in TEXT_KEYS)
    ):
        collector.repairs["wrapped"] = None
        _interpret_nested(value, collector)
        return True
    if isinstance(value, str) and is_label(value, schema) and not is_label(key, None):
        collector.shapes["json-by-type"] = None
        collector.repairs["surface-keyed"] = None
        collector.add(value, key)
        return True
    return False


def collect_surfaces(
    label: str, value: Any, collector: MentionCollector, *, alone: bool = True
) -> None:
    """Add the surfaces under a label: strings, lists, nested lists, objects with a text.

    Args:
        label: The label.
        value: What stands under it.
        collector: Takes the mentions.
        alone: Whether ``value`` is all that stands under the label. A word for nothing ("none")
            is no surface then; among other surfaces it may be a name.
    """
    if isinstance(value, Pairs):
        _read_object_under(label, value, collector)
    elif isinstance(value, list):
        if add_attributed_under(label, value, collector):
            collector.repairs["pair"] = None
            return
        words = [item for item in value if isinstance(item, str) and not isinstance(item, Number)]
        for item in value:
            if isinstance(item, Number) and words and not alone:
                # ["손흥민", 0, 3] under a label: offsets, which were not asked for.
                collector.repairs["offsets"] = None
                continue
            nested = isinstance(item, list) and not isinstance(item, Pairs)
            if nested:
                collector.repairs["nested-list"] = None
            collect_surfaces(label, item, collector, alone=len(value) == 1 if not nested else False)
    elif value is None:
        collector.repairs["null"] = None
    elif (
        isinstance(value, bool)
        or not value.strip()
        or (alone and names_nothing(value, collector.source))
    ):
        collector.repairs["none-word"] = None
    else:
        collector.add(label, value)


def _read_object_under(label: str, pairs: Pairs, collector: MentionCollector) -> None:
    if add_attributed_under(label, pairs, collector):
        collector.repairs["surface-keyed"] = None
        return
    keys = {normalize_key(key): item for key, item in pairs}
    for key in likeliest(keys, TEXT_KEYS):
        surfaces = _strings(keys[key])
        if surfaces:
            for surface in surfaces:
                collector.add(label, surface, _attributes(pairs, (key,)))
            return
    collector.repairs["object-for-list"] = None
    for key, item in pairs:
        if isinstance(item, list):
            collect_surfaces(label, item, collector)
        elif key is None or str(key).strip().isdigit():
            # A set, or a list written as {"1": ..., "2": ...}
            collect_surfaces(label, item, collector)
        else:
            collector.add(label, key)


def _read_list(values: list[Any], collector: MentionCollector) -> None:
    if add_attributed_list(values, collector):
        collector.shapes["json-list"] = None
        collector.repairs["pair"] = None
        return
    strings = [
        value for value in values if isinstance(value, str) and not isinstance(value, Number)
    ]
    if len(strings) == 2 and len(values) == len(strings) + sum(
        isinstance(v, Number) for v in values
    ):
        first, second = strings
        if collector.is_outside(second):
            return
        if is_label(first, collector.schema) != is_label(second, collector.schema):
            collector.shapes["json-list"] = None
            collector.repairs["pair"] = None
            label, text = (first, second) if is_label(first, collector.schema) else (second, first)
            collector.add(label, text)
            return
    if (
        len(values) == 2
        and isinstance(values[0], str)
        and isinstance(values[1], list)
        and not isinstance(values[1], Pairs)
        and is_label(values[0], collector.schema)
    ):
        collector.repairs["pair"] = None
        collect_surfaces(values[0], values[1], collector)
        return
    for value in values:
        _read_element(value, collector)


def _read_element(value: Any, collector: MentionCollector) -> None:
    """Read one element of a list that stands under no label."""
    if isinstance(value, list):
        interpret(value, collector)
    elif isinstance(value, str):
        labelled = split_labelled(value, collector.schema)
        if labelled is not None:
            collector.shapes["json-list"] = None
            collector.repairs["labelled-string"] = None
            collector.add(*labelled)
        elif isinstance(value, Number):
            collector.repairs["unlabelled"] = None
        elif names_nothing(value, collector.source):
            collector.repairs["none-word"] = None
        elif collector.schema is not None and _has_one_label(collector):
            # Where one label was asked for, it need not be said: ["Kim", "Lee"].
            collector.shapes["json-list"] = None
            collector.repairs["one-label"] = None
            collector.add(collector.schema.labels[0].code, value)
        else:
            collector.repairs["unlabelled"] = None
