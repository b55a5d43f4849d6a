"""Rows of JSON files, whether a row is a line or the whole file is one value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from llmner.errors import CorpusError
from llmner.files import open_lines, parse_json, read_text

__all__ = ["ANNOTATION_KEYS", "TEXT_KEYS", "Row", "json_rows", "sample_rows", "text_of"]

TEXT_KEYS = tuple(
    "text sentence content raw utterance sentence_text raw_text full_text body input context data "
    "sequence Text 원문 문장 form document doc".split()
)
"""Keys under which the text of a row stands, in the order in which they are looked at."""

ANNOTATION_KEYS = tuple(
    "entities label labels spans annotations annotation NE ner ents Entities named_entities entity "
    "mentions nes entity_mentions result results predictions entity_list tags ner_tags output "
    "schema extractions 개체명".split()
)
"""Keys under which annotations stand."""

# Keys under which lists of rows stand. Other lists of objects are parts of a row.
_CONTAINERS = frozenset(
    "data examples documents document docs sentences sentence items rows records paragraphs "
    "rasa_nlu_data common_examples annotations tasks results entries instances samples train test "
    "dev valid validation eval evaluation passages collection texts corpus dataset".split()
)
_SPLITS = frozenset("train test dev valid validation eval evaluation".split())
_DEEPEST = 8
_TOKEN_KEYS = ("tokens", "words", "tokenized_text", "sentence", "text", "chars", "token")
_SAMPLE = 50
_MOST_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a JSON file.

    Attributes:
        value: What stands there.
        line: Its line; ``None`` if it does not stand on one.
        number: Its number in the file, counted from 1; in JSON Lines, that of its line.
        source: Its line as it is; ``None`` if it does not stand on one.
        fault: Why it cannot be read, if it cannot.
    """

    value: Any
    line: int | None
    number: int
    source: str | None = None
    fault: CorpusError | None = None

    @property
    def raw(self) -> str:
        """Its line as it is, or the value as JSON; asked for only if the row is bad."""
        if self.source is not None:
            return self.source
        return json.dumps(self.value, ensure_ascii=False, default=str)


def text_of(row: Mapping[str, Any]) -> str | None:
    """The text of a row, if a usual key has one.

    >>> text_of({"id": 1, "content": "Anna sings"})
    'Anna sings'
    """
    return next((row[key] for key in TEXT_KEYS if isinstance(row.get(key), str)), None)


def json_rows(path: Path) -> Iterator[Row]:
    """The rows of a file of JSON Lines, or of a JSON value with a list of rows in it.

    Lines are streamed. A file that is one value is read whole; rows may stand in a list, and the
    list in objects (``{"data": [...]}``, documents with sentences).

    Raises:
        CorpusError: The file cannot be read, or is neither JSON Lines nor JSON.
    """
    lines = ((number, line) for number, line in open_lines(path) if line.strip())
    first = next(lines, None)
    if first is None:
        return
    second = next(lines, None)
    try:
        value = parse_json(first[1])
    except ValueError as error:
        if second is not None and not (
            _is_whole_object(first[1]) or _are_lines(first[1], second[1])
        ):
            yield from _rows_of_whole(path, str(error))
            return
        value = None
    if second is None and value == []:
        return
    if second is None and isinstance(value, list | dict):
        for number, row in enumerate(_unwrapped(value), 1):
            is_line = row is value
            yield Row(row, first[0] if is_line else None, number, first[1] if is_line else None)
        return
    for number, text in chain([first], [second] if second else [], lines):
        yield from _rows_of_line(path, number, text)


def _are_lines(first: str, second: str) -> bool:
    """Whether a first line that is broken stands before JSON Lines."""
    try:
        return first.startswith("{") and isinstance(parse_json(second), dict)
    except ValueError:
        return False


def _is_whole_object(line: str) -> bool:
    return line.startswith("{") and line.rstrip().endswith("}")


def _rows_of_line(path: Path, number: int, line: str) -> Iterator[Row]:
    try:
        value = parse_json(line)
    except ValueError as error:
        fault = CorpusError(
            str(error), path=path, line=number, hint="expected one JSON object per line"
        )
        yield Row(None, number, number, line, fault)
        return
    for row in _unwrapped(value) if isinstance(value, dict) else [value]:
        yield Row(row, number, number, line)


def _rows_of_whole(path: Path, problem: str) -> Iterator[Row]:
    try:
        value = parse_json(read_text(path))
    except ValueError as error:
        raise CorpusError(
            f"neither JSON Lines (line 1: {problem}) nor one JSON value ({error})",
            path=path,
            hint="write one JSON object per line",
        ) from None
    for number, row in enumerate(_unwrapped(value), 1):
        yield Row(row, None, number)


def _unwrapped(value: Any, depth: int = 0) -> Iterator[Any]:
    """The rows in a JSON value: the innermost objects with a text or tokens."""
    if isinstance(value, list) and _holds_rows(value):
        for item in value:
            if item is not None:
                yield from _unwrapped(item, depth + 1)
        return
    if not isinstance(value, dict) or _is_row(value) or depth > _DEEPEST:
        yield value
        return
    parts = [item for key, item in value.items() if key.lower() in _CONTAINERS]
    inner = [
        item
        for item in parts
        if (isinstance(item, list) and _holds_rows(item)) or (isinstance(item, dict) and item)
    ]
    splits = [item for key, item in value.items() if key.lower() in _SPLITS]
    if not inner:
        yield value
        return
    rows = [list(_unwrapped(item, depth + 1)) for item in inner]
    annotated = [part for part in rows if any(map(_is_annotated, part))]
    texts = [part for part in rows if any(isinstance(row, dict) and _is_row(row) for row in part)]
    # Of other parts, those with annotations count: paragraphs repeat the sentences.
    chosen = texts if splits else annotated or texts
    if not chosen:
        yield value
    for part in chosen:
        yield from part


def _holds_rows(items: list[Any]) -> bool:
    """Whether a list is one of rows, and no row by itself, such as spaCy's (text, annotations)."""
    kept = [item for item in items if item is not None]
    return bool(kept) and all(
        isinstance(item, dict)
        # spaCy's pairs; lists of lists of tokens are no rows.
        or (isinstance(item, list) and bool(item) and isinstance(item[0], str))
        for item in kept
    )


def _is_annotated(row: Any) -> bool:
    """Whether a row has something beside a text that may be annotations."""
    if isinstance(row, list):
        return bool(row) and isinstance(row[0], str)
    if not isinstance(row, dict) or not _is_row(row):
        return False
    return any(key in row for key in ANNOTATION_KEYS)


def _is_row(value: Mapping[str, Any]) -> bool:
    if text_of(value) is not None or isinstance(value.get("data"), dict):
        return True
    return any(
        isinstance(tokens := value.get(key), list) and tokens and isinstance(tokens[0], str)
        for key in _TOKEN_KEYS
    )


def sample_rows(path: Path) -> list[Any]:
    """The rows that show what a file is: the first, and later ones with annotations.

    Empty if the file is no JSON.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.jsonl"
    ...     _ = path.write_text('{"text": "a"}')
    ...     sample_rows(path)
    [{'text': 'a'}]
    """
    sample: list[Any] = []
    later = 0
    try:
        for row in islice(json_rows(path), _MOST_ROWS):
            if row.fault is not None:
                continue
            if len(sample) - later < _SAMPLE:
                sample.append(row.value)
            elif isinstance(row.value, dict) and any(
                isinstance(value := row.value.get(key), list | dict) and value
                for key in ANNOTATION_KEYS
            ):
                sample.append(row.value)
                later += 1
                if later >= _SAMPLE:
                    break
    except CorpusError:
        return []
    return sample
