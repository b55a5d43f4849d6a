"""Rows of JSON with a text and annotations, in the many shapes that other tools give them.

A span may be a list (``[0, 4, "PER"]``) or an object, whose keys have many names. Ends may be
inclusive, and offsets may count UTF-16 code units or bytes: where rows repeat the surfaces, these
decide. A surface without a place takes the next occurrence in the text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from llmner._numbers import is_number, is_whole
from llmner.corpora._format import ReadOptions
from llmner.corpora._json import ANNOTATION_KEYS, Row, json_rows, text_of
from llmner.corpora._losses import DISCONTINUOUS, OTHERS, RELATIONS, UNPLACED
from llmner.errors import CorpusError, SpanError
from llmner.spans import Sentence, Span, TextLabel

__all__ = [
    "Loss",
    "Record",
    "SpanClaim",
    "annotations_of",
    "are_records",
    "id_of",
    "plain_record",
    "read_records",
    "record_of",
    "record_or_plain",
    "sought_spans",
    "span_claims",
    "text_labels_of",
]

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
_IDS = tuple("id _id guid doc_id document_id sentence_id sent_id docid uid".split())
_RELATIONS = ("relations", "relation", "links", "events")


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


class Loss(NamedTuple):
    """Something in a row that a sentence cannot hold: a kind and an example."""

    kind: str
    example: str


@dataclass(frozen=True, slots=True)
class Record:
    """A row as it was read.

    Attributes:
        text: The text.
        claims: The entities.
        id: The id.
        labels: The labels of the whole text.
        losses: What else the row has.
    """

    text: str
    claims: Sequence[SpanClaim] = ()
    id: str | None = None
    labels: Sequence[TextLabel] = ()
    losses: Sequence[Loss] = field(default=())


def id_of(row: Mapping[str, Any]) -> str | None:
    """The id of a row, as a string.

    >>> id_of({"id": 7}), id_of({"text": "a"})
    ('7', None)
    """
    for key in _IDS:
        value = row.get(key)
        if isinstance(value, str) and value:
            return value
        if is_whole(value):
            return str(value)
    return None


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
    score = _first(item, _SCORES)
    fraction = float(score) if is_number(score) and 0 <= score <= 1 else None
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


def record_of(row: Any, keys: Iterable[str] = ANNOTATION_KEYS) -> Record | None:
    """A row with a text and annotations under one of ``keys``; ``None`` if it is none.

    The first key that has annotations counts. A row whose annotations are an empty list is one.

    >>> record_of({"text": "Anna sings", "entities": [[0, 4, "PER"]]}).claims[0].end
    4
    """
    if isinstance(row, list) and len(row) == 2 and isinstance(row[0], str):
        text, rest = row
        # spaCy's pairs of a text and its annotations.
        row = {"text": text, **rest} if isinstance(rest, dict) else {"text": text, "spans": rest}
    if not isinstance(row, dict) or (text := text_of(row)) is None:
        return None
    empty = False
    record: Record | None = None
    others: list[Loss] = []
    for key in keys:
        value = row.get(key)
        if key in row and (value is None or (isinstance(value, list | dict) and not value)):
            empty = True
        elif (claims := annotations_of(value, text)) is None:
            continue
        elif record is None:
            record = Record(text, claims, id_of(row), text_labels_of(row, key), _other_losses(row))
        elif claims:
            others.append(Loss(OTHERS, f"{len(claims)} under {key!r}"))
    if record is not None:
        return replace(record, losses=[*record.losses, *others]) if others else record
    if empty:
        return Record(text, (), id_of(row), text_labels_of(row, ""), _other_losses(row))
    return None


def text_labels_of(row: Mapping[str, Any], taken: str = "") -> list[TextLabel]:
    """The classes of a row beside its annotations, which stand under the key ``taken``.

    >>> text_labels_of({"text": "Anna sings", "label": "music"})
    [TextLabel(label='music', attributes={}, score=None)]
    """
    labels: list[TextLabel] = []
    for key in ("label", "labels", "cats", "class"):
        value = row.get(key)
        values = value if isinstance(value, list) else [value]
        if key != taken and value and all(isinstance(item, str) and item for item in values):
            labels += [TextLabel(str(item)) for item in values]
    return labels


def plain_record(row: Any) -> Record | None:
    """A row with a text and no annotations, whose classes are labels of the whole text.

    >>> plain_record({"text": "Anna sings", "label": "music"}).labels[0].label
    'music'
    """
    if not isinstance(row, dict) or (text := text_of(row)) is None:
        return None
    labels: list[TextLabel] = []
    for key in ANNOTATION_KEYS:
        value = row.get(key)
        values = value if isinstance(value, list) else [value]
        if value is None:
            continue
        if key not in ("label", "labels") or not all(isinstance(v, str | int) for v in values):
            return None
        labels += [TextLabel(str(item)) for item in values]
    return Record(text, (), id_of(row), labels)


def record_or_plain(row: Any, keys: Iterable[str] = ANNOTATION_KEYS) -> Record | None:
    """A row as :func:`record_of` reads it, or as :func:`plain_record` does."""
    record = record_of(row, keys)
    return plain_record(row) if record is None else record


def are_records(rows: Sequence[Any], fits: Callable[[Any], bool]) -> bool:
    """Whether some rows fit a format, and the others are texts without annotations."""
    fitting = [fits(row) for row in rows]
    return any(fitting) and all(
        fit or plain_record(row) is not None for fit, row in zip(fitting, rows, strict=True)
    )


def _other_losses(row: Mapping[str, Any]) -> list[Loss]:
    return [
        Loss(RELATIONS, f"{len(value)} under {key!r}")
        for key in _RELATIONS
        if isinstance(value := row.get(key), list | dict) and value
    ]


def read_records(
    path: Path,
    options: ReadOptions,
    parse: Callable[[Any], Record | None],
    expected: str,
    *,
    inclusive: bool = False,
    nested: bool = True,
    utf16: bool = False,
    rows: Iterable[Row] | None = None,
) -> Iterator[Sentence]:
    """The sentences of a file of JSON rows.

    Args:
        path: The file.
        options: How to read.
        parse: A row as a record; ``None`` if it is none.
        expected: What a row should be, for errors.
        inclusive: Whether ends are inclusive, where no surface shows it.
        nested: Whether the format allows nested entities; the outermost are kept. Otherwise they
            are an error.
        utf16: Whether the format counts UTF-16 code units.
        rows: The rows, if they are not those of a JSON file.
    """
    for row in json_rows(path) if rows is None else rows:
        try:
            if row.fault is not None:
                raise row.fault
            try:
                record = parse(row.value)
            except _ODD:
                record = None
            if record is None:
                id = id_of(row.value) if isinstance(row.value, dict) else None
                raise CorpusError(
                    _problem(row),
                    path=path,
                    line=row.line,
                    id=id,
                    hint=f"expected {expected}",
                )
            spans, units = _located(path, row, record, inclusive=inclusive, utf16=utf16)
            if units is not None and not utf16:
                options.stats.note(f"{path.name}: offsets there count {units}; they were converted")
            sentence = _sentence(path, row, record, spans, options, nested=nested)
        except CorpusError as error:
            options.bad(error, row.raw)
            continue
        yield sentence


def _problem(row: Row) -> str:
    place = "" if row.line is not None else f"row {row.number}: "
    if not isinstance(row.value, dict):
        return f"{place}a {type(row.value).__name__} is no row"
    keys = ", ".join(list(map(str, row.value))[:8])
    return f"{place}a row with the keys {keys[:120]} cannot be read"


def _located(
    path: Path, row: Row, record: Record, *, inclusive: bool, utf16: bool
) -> tuple[list[Span], str | None]:
    """The spans of a row, and the units of its offsets if they are not code points."""
    claims = [claim for claim in record.claims if not claim.pieces]
    try:
        return _spans(record.text, claims, inclusive=inclusive, utf16=utf16)
    except ValueError as error:
        raise CorpusError(
            str(error),
            path=path,
            line=row.line,
            id=record.id,
            hint="expected half-open code points",
        ) from None
    except SpanError as error:
        raise CorpusError(
            error.problem, path=path, line=row.line, id=record.id, hint=error.hint
        ) from None


def _sentence(
    path: Path,
    row: Row,
    record: Record,
    spans: list[Span],
    options: ReadOptions,
    *,
    nested: bool,
) -> Sentence:
    text, id = record.text, record.id
    losses = list(record.losses)
    said = Counter((span.label, text[span.start : span.end]) for span in spans)
    said.subtract((c.label, c.surface or "") for c in record.claims if c.start is not None)
    for claim in record.claims:
        if claim.pieces:
            losses.append(Loss(DISCONTINUOUS, f"{claim.label} from {claim.start} to {claim.end}"))
        elif claim.start is None:
            if said[claim.label, claim.surface or ""] <= 0:
                losses.append(Loss(UNPLACED, f"{claim.label} {claim.surface!r}"))
            said[claim.label, claim.surface or ""] -= 1
    for loss in losses:
        options.lost(loss.kind, loss.example, path, row.line, id)
    kept = options.flat(path, row.line, id, text, spans) if nested else spans
    return options.sentence(path, row.line, id, text, kept, record.labels)


# What parsing raises for values of types that nobody expects.
_ODD = (TypeError, AttributeError, LookupError, ValueError, OverflowError)
_Units = Callable[[str, int], int | None]


def _utf16(text: str, offset: int) -> int | None:
    """The code point at an offset in UTF-16 code units."""
    return _places_of(text, 2).get(offset)


def _utf8(text: str, offset: int) -> int | None:
    """The code point at an offset in bytes of UTF-8."""
    return _places_of(text, 1).get(offset)


@lru_cache(maxsize=4)
def _places_of(text: str, size: int) -> dict[int, int]:
    """Offsets in units of one byte (UTF-8) or two (UTF-16) to code points."""
    places, units = {0: 0}, 0
    for place, char in enumerate(text, 1):
        point = ord(char)
        if size == 2:
            units += 1 + (point > 0xFFFF)
        else:
            units += 1 + (point > 0x7F) + (point > 0x7FF) + (point > 0xFFFF)
        places[units] = place
    return places


def _points(text: str, offset: int) -> int | None:
    return offset


_UNITS: tuple[tuple[str | None, _Units], ...] = (
    (None, _points),
    ("UTF-16 code units", _utf16),
    ("bytes", _utf8),
)


def _spans(
    text: str, claims: Sequence[SpanClaim], *, inclusive: bool, utf16: bool
) -> tuple[list[Span], str | None]:
    """The spans of a row, and the units of its offsets if they are not code points.

    Raises:
        ValueError: No reading of the offsets gives the surfaces that the row repeats.
        SpanError: A span is none.
    """
    placed = [claim for claim in claims if claim.start is not None]
    checked = [claim for claim in placed if claim.surface]
    if not checked and utf16:
        found = [_placed(text, claim, _utf16, inclusive) for claim in placed]
        if None not in found:
            return [span for span in found if span is not None], _UNITS[1][0]
    if not checked and _seem_utf16(text, placed, inclusive):
        found = [_placed(text, claim, _utf16, inclusive) for claim in placed]
        return [span for span in found if span is not None], _UNITS[1][0]
    for units, convert in sorted(_UNITS, key=lambda unit: unit[0] is None) if utf16 else _UNITS:
        for closed in (inclusive, not inclusive):
            if (units is not None or closed != inclusive) and not checked:
                continue
            if units == "bytes" and text.isascii():
                continue
            found = [_placed(text, claim, convert, closed) for claim in placed]
            if all(
                span is not None and _says(text, span, claim)
                for span, claim in zip(found, placed, strict=True)
                if claim.surface
            ) and all(span is not None for span in found):
                spans = [span for span in found if span is not None]
                return spans + sought_spans(text, claims, spans), units
    if not checked:
        spans = [_made(claim, claim.start or 0, claim.end or 0) for claim in placed]
        return spans, None
    for claim in checked:
        span = _placed(text, claim, _points, inclusive)
        if span is None or not _says(text, span, claim):
            there = "" if span is None else text[span.start : span.end]
            raise ValueError(
                f"span [{claim.start}, {claim.end}] {claim.label} should be "
                f"{(claim.surface or '')[:40]!r}, but {there[:40]!r} stands there"
            )
    raise ValueError("the offsets fit no text")


def _seem_utf16(text: str, claims: Sequence[SpanClaim], closed: bool) -> bool:
    """Whether offsets cut English words as code points, and give whole words as UTF-16 units."""
    if max(text, default="") <= "\uffff":
        return False
    plain = [_placed(text, claim, _points, closed) for claim in claims]
    units = [_placed(text, claim, _utf16, closed) for claim in claims]

    def cut(place: int) -> bool:
        around = text[max(place - 1, 0) : place + 1]
        return len(around) == 2 and around.isascii() and around.isalpha()

    cuts = sum(span is not None and cut(span.start) for span in plain)
    return cuts > 0 and not any(
        span is None or cut(span.start) or cut(span.end) or not text[span.start].isalpha()
        for span in units
    )


def _says(text: str, span: Span, claim: SpanClaim) -> bool:
    return text[span.start : span.end].split() == (claim.surface or "").split()


def _made(claim: SpanClaim, start: int, end: int) -> Span:
    return Span(start, end, claim.label, claim.score, claim.attributes)


def _placed(text: str, claim: SpanClaim, convert: _Units, closed: bool) -> Span | None:
    """The span of a claim, its offsets in these units; ``None`` if they are no place."""
    assert claim.start is not None
    assert claim.end is not None
    ends_inside = closed if claim.inclusive is None or claim.surface else claim.inclusive
    start, end = convert(text, claim.start), convert(text, claim.end + ends_inside)
    if start is None or end is None or start < 0 or end <= start:
        return None
    if claim.surface and end > len(text):
        return None
    return _made(claim, start, end)


def sought_spans(text: str, claims: Sequence[SpanClaim], spans: Sequence[Span] = ()) -> list[Span]:
    """Spans of the claims without a place: each takes the next free occurrence of its surface.

    >>> sought_spans("Anna sings", [SpanClaim(None, None, "PER", "Anna")])
    [Span(start=0, end=4, label='PER', score=None)]
    """
    taken = sorted((span.start, span.end) for span in spans)
    made: list[Span] = []
    sought = [claim for claim in claims if claim.start is None and claim.surface]
    places: dict[str, Iterator[int]] = {}
    # The longest first: a shorter one may stand inside it.
    for claim in sorted(sought, key=lambda claim: -len(claim.surface or "")):
        surface = claim.surface or ""
        if surface not in places:
            places[surface] = _occurrences(text, surface)
        # A place that is taken stays taken, so each surface looks at each of its places once.
        for start in places[surface]:
            end = start + len(surface)
            at = bisect_left(taken, (start, end))
            free = (at == 0 or taken[at - 1][1] <= start) and (
                at == len(taken) or end <= taken[at][0]
            )
            if free:
                taken.insert(at, (start, end))
                made.append(_made(claim, start, end))
                break
    return made


def _occurrences(text: str, surface: str) -> Iterator[int]:
    """Where a surface stands: first where it is a whole word, then elsewhere."""
    places, start = [], text.find(surface)
    while start >= 0:
        places.append(start)
        start = text.find(surface, start + 1)

    def inside(place: int) -> bool:
        end = place + len(surface)
        before, after = text[max(place - 1, 0) : place], text[end : end + 1]
        latin = surface[-1:].isascii() and after.isascii()
        return (before.isalnum() and surface[0].isascii() and before.isascii()) or (
            latin and after.isalnum()
        )

    return iter(sorted(places, key=inside))
