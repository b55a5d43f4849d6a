"""Spans JSONL: ``{"id", "text", "spans": [{"start", "end", "label"}]}``, one sentence per line.

A sentence may also have ``labels``, which are labels of the whole text. Spans and labels may have a
``score`` and ``attributes``.

Offsets are half-open, in code points. Other keys are ignored, so the output of ``extract`` can be
read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from llmner._numbers import is_number, is_whole
from llmner.corpora._format import CorpusFormat, ReadOptions
from llmner.corpora._json import ANNOTATION_KEYS, Row, json_rows
from llmner.corpora._records import text_labels_of
from llmner.corpora.markup import are_known, markup_labels
from llmner.corpora.tokens import pair_of
from llmner.errors import CorpusError, SpanError
from llmner.files import dump_json
from llmner.spans import Sentence, Span, TextLabel
from llmner.tagging import OUTSIDE

__all__ = [
    "FORMATS",
    "SPANS_JSONL",
    "json_objects",
    "read_span_rows",
    "row_error",
    "row_text_and_id",
    "span_of_row",
    "span_rows",
    "text_label_of_row",
    "text_label_rows",
]


# Keys under which classes of the whole text may stand, too.
_CLASSES = frozenset({"label", "labels", "tags", "output", "result", "results", "predictions"})
_FOREIGN = ("answer", "_input_hash", "_task_hash")


def _looks_like_rows(rows: list[Any]) -> bool:
    return all(map(_is_ours, rows))


def _is_ours(row: Any) -> bool:
    """Whether a row has spans as this package writes them, or is a text without annotations."""
    if not isinstance(row, dict) or any(key in row for key in _FOREIGN):
        return False
    if "spans" in row:
        spans = row["spans"]
        if isinstance(spans, list):
            return all(isinstance(span, dict) and "label" in span for span in spans)
        return not isinstance(spans, dict)
    if not isinstance(row.get("text"), str) or _is_tagged(row):
        return False
    return not any(_annotates(key, value) for key, value in row.items())


def _is_tagged(row: dict[str, Any]) -> bool:
    """Whether a row has a text and its tags in a second string."""
    pair = pair_of(row)
    return pair is not None and any(tag != OUTSIDE for tag in pair[1])


def _annotates(key: str, value: Any) -> bool:
    """Whether a value is more than a class of the whole text, or than what nobody knows."""
    if isinstance(value, dict):
        return key in ANNOTATION_KEYS and any(
            isinstance(part, list | dict) and part for part in value.values()
        )
    # Outcomes are what extract writes beside its spans.
    if not isinstance(value, list) or key == "outcomes":
        return False
    if key in ANNOTATION_KEYS and key not in _CLASSES:
        return bool(value)
    items = [part for item in value for part in (item if isinstance(item, list) else [item])]
    if any(isinstance(item, dict) and {"start", "end"} <= item.keys() for item in items):
        return True
    return key in ANNOTATION_KEYS and any(isinstance(item, list | dict) for item in value)


def json_objects(path: Path) -> Iterator[tuple[int | None, dict[str, Any]]]:
    """The objects of a JSON file, each with its line if it stands on one.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.json"
    ...     _ = file.write_text('[{"text": "a"}]')
    ...     list(json_objects(file))
    [(None, {'text': 'a'})]
    """
    for row in json_rows(path):
        if row.fault is not None:
            raise row.fault
        if isinstance(row.value, dict):
            yield row.line, row.value


def row_text_and_id(path: Path, number: int | None, row: dict[str, Any]) -> tuple[str, str | None]:
    """The ``text`` and ``id`` of a row; an id that is a whole number becomes a string.

    Raises:
        CorpusError: There is no text, or text or id has the wrong type.
    """
    text, id = row.get("text"), row.get("id")
    if is_whole(id):
        id = str(id)
    if id is not None and not isinstance(id, str):
        raise CorpusError("'id' is not a string", path=path, line=number)
    if not isinstance(text, str):
        problem = "no 'text'" if "text" not in row else "'text' is not a string"
        raise CorpusError(
            problem, path=path, line=number, id=id, hint='expected {"id", "text", "spans"}'
        )
    return text, id


def row_error(
    path: Path, number: int | None, id: str | None, problem: str, expected: str
) -> CorpusError:
    """An error that says what is wrong with a row, and what was expected instead."""
    return CorpusError(problem, path=path, line=number, id=id, hint=f"expected {expected}")


def span_of_row(path: Path, number: int | None, id: str | None, row: Any) -> Span:
    """One span of a row; ``number`` is the row's line.

    Raises:
        CorpusError: The value is not a span.
    """
    wrong = partial(row_error, path, number, id)
    if not isinstance(row, dict):
        raise wrong("a span is not an object", '{"start", "end", "label"}')
    start, end = _offset(row, "start", wrong), _offset(row, "end", wrong)
    label, score, attributes = _labelled(row, "span", wrong)
    try:
        return Span(start, end, label, score, attributes)
    except SpanError as error:
        raise CorpusError(error.problem, path=path, line=number, id=id, hint=error.hint) from None


def text_label_of_row(path: Path, number: int | None, id: str | None, row: Any) -> TextLabel:
    """One label of a whole text; ``number`` is the row's line.

    Raises:
        CorpusError: The value is not a label.
    """
    wrong = partial(row_error, path, number, id)
    if not isinstance(row, dict):
        raise wrong("a label is not an object", '{"label"}')
    label, score, attributes = _labelled(row, "label", wrong)
    evidence = row.get("evidence", [])
    if not isinstance(evidence, list) or not all(isinstance(part, dict) for part in evidence):
        raise wrong("a label's 'evidence' is no list of ranges", '[{"start", "end"}]')
    spans = (span_of_row(path, number, id, {**part, "label": label}) for part in evidence)
    return TextLabel(label, attributes, score, tuple(spans))


def _labelled(
    row: dict[str, Any], what: str, wrong: Callable[[str, str], CorpusError]
) -> tuple[str, float | None, dict[str, Any]]:
    """The label, score and attributes of a span or of a label of the whole text."""
    label, score, attributes = row.get("label"), row.get("score"), row.get("attributes", {})
    if not isinstance(label, str):
        raise wrong(f"a {what}'s 'label' is {label!r}", "a string")
    if score is not None and not (is_number(score) and 0 <= score <= 1):
        raise wrong(f"a {what}'s 'score' is {score!r}", "a number from 0 to 1")
    if not isinstance(attributes, dict):
        raise wrong(f"a {what}'s 'attributes' is {attributes!r}", "an object")
    return label, None if score is None else float(score), attributes


def _offset(row: dict[str, Any], key: str, wrong: Callable[[str, str], CorpusError]) -> int:
    value = row.get(key)
    if not is_whole(value):
        raise wrong(f"a span's {key!r} is {value!r}", "a whole number")
    return value


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    yield from read_span_rows(path, options, json_rows(path))


def read_span_rows(path: Path, options: ReadOptions, rows: Iterable[Row]) -> Iterator[Sentence]:
    """The sentences of rows of spans, from wherever they come.

    Args:
        path: Their file, for errors.
        options: How to read.
        rows: The rows.
    """
    for row in rows:
        try:
            if row.fault is not None:
                raise row.fault
            if not isinstance(row.value, dict):
                raise CorpusError(
                    f"expected an object, got a {type(row.value).__name__}",
                    path=path,
                    line=row.line,
                    hint="write one JSON object per line",
                )
            sentence = _sentence(path, row.line, row.value, options)
        except CorpusError as error:
            options.bad(error, row.raw)
            continue
        yield sentence


def _sentence(
    path: Path, number: int | None, row: dict[str, Any], options: ReadOptions
) -> Sentence:
    text, id = row_text_and_id(path, number, row)
    spans = row.get("spans", [])
    if not spans and "<" in text and (marked := markup_labels([text])) and are_known(marked):
        options.stats.note(f"{path.name}: texts look like inline markup, which is kept as it is")
    if not isinstance(spans, list):
        raise CorpusError("'spans' is not a list", path=path, line=number, id=id)
    spans = [span_of_row(path, number, id, span) for span in spans]
    labels = row.get("labels")
    # Other tools write classes here as strings.
    if isinstance(labels, list) and all(isinstance(label, dict) for label in labels):
        text_labels = [text_label_of_row(path, number, id, label) for label in labels]
    else:
        text_labels = text_labels_of(row)
    return options.sentence(path, number, id, text, spans, text_labels)


def span_rows(spans: Iterable[Span]) -> list[dict[str, Any]]:
    """Spans as JSON objects; ``score`` and ``attributes`` only if a span has them.

    >>> span_rows([Span(0, 4, "PER", 0.9)])
    [{'start': 0, 'end': 4, 'label': 'PER', 'score': 0.9}]
    """
    return [
        {"start": span.start, "end": span.end, "label": span.label} | _optional_keys(span)
        for span in spans
    ]


def text_label_rows(labels: Iterable[TextLabel]) -> list[dict[str, Any]]:
    """Labels of a whole text as JSON objects, like :func:`span_rows`."""
    return [{"label": label.label} | _optional_keys(label) | _evidence(label) for label in labels]


def _evidence(label: TextLabel) -> dict[str, Any]:
    ranges = [{"start": span.start, "end": span.end} for span in label.evidence]
    return {"evidence": ranges} if ranges else {}


def _optional_keys(item: Span | TextLabel) -> dict[str, Any]:
    row: dict[str, Any] = {} if item.score is None else {"score": item.score}
    return row | {"attributes": dict(item.attributes)} if item.attributes else row


def _write(sentence: Sentence, stream: BinaryIO) -> None:
    row = {"id": sentence.id, "text": sentence.text, "spans": span_rows(sentence.spans)}
    if sentence.labels:
        row["labels"] = text_label_rows(sentence.labels)
    stream.write(dump_json(row) + b"\n")


SPANS_JSONL = CorpusFormat("spans", _read, _write, None, looks_like_rows=_looks_like_rows)
FORMATS = (SPANS_JSONL,)
