"""Rows of JSON with a text and annotations under any usual key, and sentences of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from llmner._numbers import is_whole
from llmner.corpora._claims import SpanClaim, annotations_of
from llmner.corpora._format import ODD_VALUES, ReadOptions
from llmner.corpora._json import ANNOTATION_KEYS, Row, json_rows, text_of
from llmner.corpora._losses import DISCONTINUOUS, OTHERS, RELATIONS, UNPLACED
from llmner.corpora._offsets import claimed_spans
from llmner.errors import CorpusError, SpanError
from llmner.spans import Sentence, Span, TextLabel

__all__ = [
    "Loss",
    "Record",
    "are_records",
    "cats_of",
    "id_of",
    "labels_of_cats",
    "plain_record",
    "read_records",
    "record_of",
    "record_or_plain",
    "text_labels_of",
    "with_label_names",
]

_IDS = tuple("id _id guid doc_id document_id sentence_id sent_id docid uid".split())
_RELATIONS = ("relations", "relation", "links", "events")


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
        if key == taken:
            continue
        values = value if isinstance(value, list) else [value]
        if value and all(isinstance(item, str) and item for item in values):
            labels += [TextLabel(str(item)) for item in values]
        elif key == "cats":
            labels += labels_of_cats(value)
    return labels


def labels_of_cats(cats: Any) -> list[TextLabel]:
    """The labels in spaCy's ``cats``, a number for each: those that are likelier than not.

    >>> [label.label for label in labels_of_cats({"music": 1.0, "sports": 0.0})]
    ['music']
    """
    if isinstance(cats, list) and all(isinstance(item, dict) for item in cats):
        # spaCy 2: [{"label": "music", "value": 1.0}]
        cats = {item.get("label"): item.get("value") for item in cats}
    if not isinstance(cats, dict):
        return []
    return [
        TextLabel(name, score=None if number == 1 else float(number))
        for name, number in cats.items()
        if isinstance(name, str) and name and isinstance(number, int | float) and number >= 0.5
    ]


def cats_of(labels: Iterable[TextLabel]) -> dict[str, float]:
    """Labels as spaCy's ``cats``."""
    return {label.label: 1.0 for label in labels}


def with_label_names(sentence: Sentence, kept: Sentence) -> Sentence:
    """A sentence as a format keeps it that also keeps the names of the labels of whole texts."""
    return replace(kept, labels=tuple(map(TextLabel, cats_of(sentence.labels))))


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
        utf16: Whether the format counts UTF-16 code units.
        rows: The rows, if they are not those of a JSON file.
    """
    for row in json_rows(path) if rows is None else rows:
        try:
            if row.fault is not None:
                raise row.fault
            try:
                record = parse(row.value)
            except ODD_VALUES:
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
            sentence = _sentence(path, row, record, spans, options)
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
        return claimed_spans(record.text, claims, inclusive=inclusive, utf16=utf16)
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
    path: Path, row: Row, record: Record, spans: list[Span], options: ReadOptions
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
    kept = options.flat(path, row.line, id, text, spans)
    return options.sentence(path, row.line, id, text, kept, record.labels)
