"""What rows of JSON say of entities, in the many shapes that other tools give them.

A span may be a list (``[0, 4, "PER"]``) or an object, whose keys have many names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from llmner._numbers import is_number, is_whole

__all__ = ["SpanClaim", "annotations_of", "fraction_of", "span_claims"]

_STARTS = tuple(
    "start start_offset startOffset begin begin_offset beginOffset BeginOffset start_pos startPos "
    "start_char startChar start_index startIndex char_start start_position start_idx from "
    "시작".split()
)
_ENDS = tuple(
    "end end_offset endOffset EndOffset end_pos endPos end_char endChar end_index endIndex "
    "char_end end_position end_idx stop to 끝".split()
)
_PAIRS = tuple("span offsets offset position pos range interval loc char_interval".split())
_LABELS = tuple(
    "label labels type Type entity_type entityType entity_group entity tag tag_name category "
    "class ner ne_type extraction_class ner_tag 개체명".split()
)
_SURFACES = tuple(
    "text form word surface mention value Text name entity_text entity_value string token "
    "entity".split()
)
_SCORES = ("score", "Score", "confidence", "confidenceScore", "probability")


class SpanClaim(NamedTuple):
    """What a row says of an entity, before its offsets are checked.

    Attributes:
        start: Its first position; ``None`` if the row does not say where it stands.
        end: The position of its end.
        label: Its label.
        surface: Its text as the row repeats it.
        score: Its confidence.
        attributes: Its attributes.
        inclusive: Whether the end is inclusive; ``None`` if that depends on the format.
        pieces: Whether it stands in several pieces, which a span cannot hold.
    """

    start: int | None
    end: int | None
    label: str
    surface: str | None = None
    score: float | None = None
    attributes: Mapping[str, Any] = {}
    inclusive: bool | None = None
    pieces: bool = False


def _whole(value: Any) -> int | None:
    """An offset; one that is a string of digits counts."""
    if is_whole(value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 20:
        return int(value)
    return None


def _first(row: Mapping[str, Any], keys: Iterable[str]) -> Any:
    return next((row[key] for key in keys if row.get(key) is not None), None)


def _label(value: Any) -> str | None:
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict):
        value = _first(value, ("value", "name", "label"))
    if isinstance(value, str) and value.strip():
        return value.strip()
    return str(value) if is_whole(value) else None


def fraction_of(score: Any) -> float | None:
    """A score from 0 to 1; ``None`` for anything else.

    >>> fraction_of(0.9), fraction_of(95)
    (0.9, None)
    """
    return float(score) if is_number(score) and 0 <= score <= 1 else None


def span_claims(item: Any, text: str) -> list[SpanClaim] | None:
    """The entities that one annotation names, or ``None`` if it is no annotation of a span.

    >>> span_claims([0, 4, "PER"], "Anna sings")[0].label
    'PER'
    >>> span_claims({"begin": 0, "end": 4, "type": "PER", "text": "Anna"}, "Anna sings")[0].surface
    'Anna'
    """
    if isinstance(item, list):
        return _of_list(item, text)
    if not isinstance(item, dict):
        return None
    if isinstance(item.get("points"), list):
        return _of_points(item)
    return _of_object(item, text)


def _of_list(item: list[Any], text: str) -> list[SpanClaim] | None:
    numbers = [number for value in item if (number := _offset(value)) is not None]
    words = [value for value in item if isinstance(value, str) and _offset(value) is None]
    words += [label for value in item if isinstance(value, list) and (label := _label(value))]
    if len(numbers) != 2 or not 1 <= len(words) <= 2 or len(item) > 5:
        return None
    start, end = numbers
    if len(words) == 2:
        surfaces = {text[start:end], text[start : end + 1]}
        label, surface = words if words[1] in surfaces else reversed(words)
        return [SpanClaim(start, end, label, surface)]
    return [SpanClaim(start, end, words[0])]


def _offset(value: Any) -> int | None:
    return value if is_whole(value) else None


def _of_points(item: Mapping[str, Any]) -> list[SpanClaim] | None:
    """Dataturks: points with inclusive ends."""
    label = _label(item.get("label"))
    claims = []
    for point in item["points"]:
        if label is None or not isinstance(point, dict):
            return None
        start, end = _whole(point.get("start")), _whole(point.get("end"))
        surface = point.get("text")
        if start is None or end is None:
            return None
        # A surface of Dataturks may have lost the white space at its edges.
        said = surface if isinstance(surface, str) else None
        claims.append(SpanClaim(start, end, label, said, inclusive=True))
    return claims


def _of_object(item: Mapping[str, Any], text: str) -> list[SpanClaim] | None:
    pieces = _pieces(item)
    label = _label(_first(item, _LABELS))
    if label is None:
        return None
    # A pipeline's word is what its tokenizer made of the text.
    surfaces = [key for key in _SURFACES if key != "word" or "entity_group" not in item]
    surface = next(
        (item[key] for key in surfaces if isinstance(item.get(key), str) and item[key] != label),
        None,
    )
    # Some tools have the surface under "entity", and the label under "type".
    if surface is None and isinstance(item.get("text"), str):
        surface = item["text"]
    fraction = fraction_of(_first(item, _SCORES))
    attributes = item.get("attributes")
    kept = attributes if isinstance(attributes, dict) else {}
    if not pieces:
        placed = any(key in item for key in (*_STARTS, *_PAIRS))
        if surface is None and not placed:
            return None
        return [SpanClaim(None, None, label, surface, fraction, kept)]
    (start, _), (_, end) = pieces[0], pieces[-1]
    if len(pieces) > 1:
        return [SpanClaim(start, end, label, None, fraction, kept, False, pieces=True)]
    return [SpanClaim(start, end, label, surface, fraction, kept)]


def _pieces(item: Mapping[str, Any]) -> list[tuple[int, int]]:
    """The places of an annotation, most often one."""
    for key in _PAIRS:
        value = item.get(key)
        if isinstance(value, dict):
            return _pieces(value)
        if isinstance(value, list) and value:
            pairs = value if isinstance(value[0], list) else [value]
            numbers = [[_whole(number) for number in pair] for pair in pairs if len(pair) == 2]
            if numbers and all(None not in pair for pair in numbers):
                return [(pair[0] or 0, pair[1] or 0) for pair in numbers]
    start, end = _whole(_first(item, _STARTS)), _whole(_first(item, _ENDS))
    if start is None and is_whole(item.get("offset")):
        start = item["offset"]
    length = _whole(item.get("length"))
    if start is not None and end is None and length is not None:
        end = start + length
    return [] if start is None or end is None else [(start, end)]


def annotations_of(value: Any, text: str) -> list[SpanClaim] | None:
    """The entities under a key of a row, or ``None`` if something else stands there.

    Besides a list of annotations, it may be an object of labels: with surfaces and their places
    (CLUENER), with places, or with surfaces (GLiNER2).

    >>> annotations_of({"name": {"安娜": [[0, 1]]}}, "安娜住在伯尔尼")[0].surface
    '安娜'
    """
    if isinstance(value, list):
        claims = []
        for item in value:
            if item is None:
                continue
            if (found := span_claims(item, text)) is None:
                return None
            claims += found
        return claims
    if isinstance(value, dict) and value:
        claims = []
        for label, places in value.items():
            if (found := _of_label(label, places, text)) is None:
                return None
            claims += found
        return claims
    return None


def _of_label(label: str, places: Any, text: str) -> list[SpanClaim] | None:
    if isinstance(places, dict) and places:
        claims = []
        for surface, pairs in places.items():
            if not isinstance(pairs, list):
                return None
            for pair in pairs if pairs and isinstance(pairs[0], list) else [pairs]:
                numbers = [_whole(number) for number in pair]
                if len(numbers) != 2 or None in numbers:
                    return None
                claims.append(SpanClaim(numbers[0], numbers[1], label, surface))
        return claims
    if not isinstance(places, list):
        return None
    claims = []
    for place in places:
        if isinstance(place, str):
            claims.append(SpanClaim(None, None, label, place))
        elif isinstance(place, list) and len(place) == 2 and all(map(is_whole, place)):
            claims.append(SpanClaim(place[0], place[1], label))
        elif isinstance(place, dict) and (found := span_claims({"label": label, **place}, text)):
            claims += found
        else:
            return None
    return claims
