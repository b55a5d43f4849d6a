"""Lists of tokens and tags, as data sets on the Hub have them: ``{"tokens", "ner_tags"}``.

They stand in JSON Lines or in Parquet. Tags are strings; in Parquet they may be class ids whose
names the file's features give. Rows that are written also have the text, which keeps the spacing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from llmner._numbers import is_whole
from llmner.corpora._blocks import (
    Block,
    finish,
    guess_joining,
    tokenized,
    tokens_and_tags,
)
from llmner.corpora._format import BROKEN, CorpusFormat, ReadOptions, encode
from llmner.corpora._json import Row, json_rows
from llmner.corpora._records import Record, id_of, read_records, record_or_plain
from llmner.corpora._tag_reading import TagReading, read_tags
from llmner.errors import CorpusError, MissingExtraError
from llmner.files import ROW_COLUMN, dump_json, parse_json
from llmner.spans import Sentence
from llmner.tagging import OUTSIDE, usual_tags

__all__ = ["FORMATS", "PARQUET", "TAG_KEYS", "TOKENS", "pair_of", "token_sentences"]

_TOKEN_KEYS = tuple("tokens words token chars tokenized_text sentence text form data".split())
TAG_KEYS = tuple("ner_tags tags ner labels label ne entities bio tag target".split())


def pair_of(row: Any) -> tuple[list[str], list[Any]] | None:
    """The tokens and the tags of a row, if it has lists of them that are of one length.

    >>> pair_of({"tokens": ["Anna"], "ner_tags": ["B-PER"]})
    (['Anna'], ['B-PER'])
    """
    if not isinstance(row, dict):
        return None
    if (words := _words(row)) is not None:
        return words
    for key in _TOKEN_KEYS:
        tokens = row.get(key)
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            continue
        for name in TAG_KEYS:
            tags = row.get(name)
            if isinstance(tags, list) and len(tags) == len(tokens) and name != key:
                return tokens, tags
    return None


def _words(row: dict[str, Any]) -> tuple[list[str], list[Any]] | None:
    """The words of a text, and their tags in a second string."""
    for key in _TOKEN_KEYS:
        text = row.get(key)
        if not isinstance(text, str) or not text.strip():
            continue
        for name in TAG_KEYS:
            tags = row.get(name)
            if (
                isinstance(tags, str)
                and len(tags.split()) == len(text.split())
                and usual_tags({*tags.split(), OUTSIDE}) is not None
            ):
                return text.split(), tags.split()
    return None


def _looks_like_rows(rows: list[Any]) -> bool:
    pairs = [pair_of(row) for row in rows]
    if not all(pairs):
        return False
    tags = {tag for pair in pairs if pair is not None for tag in pair[1]} if _flat(pairs) else {0}
    return all(is_whole(tag) for tag in tags) or _spelling(tags) is not None


def _flat(pairs: Iterable[tuple[list[str], list[Any]] | None]) -> bool:
    return all(isinstance(tag, str | int) for pair in pairs if pair for tag in pair[1])


def _spelling(tags: Iterable[Any]) -> dict[str, str] | None:
    values = {tag for tag in tags if isinstance(tag, str)}
    return usual_tags(values | {OUTSIDE}) or usual_tags(values, bare=True)


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    return token_sentences(path, lambda: json_rows(path), options)


def token_sentences(
    path: Path,
    rows: Callable[[], Iterable[Row]],
    options: ReadOptions,
    names: Sequence[str] | None = None,
) -> Iterator[Sentence]:
    """The sentences of rows with tokens and tags.

    Args:
        path: The file, for errors.
        rows: Gives the rows; called more than once.
        options: How to read.
        names: The names of class ids.
    """

    def decoded() -> Iterator[tuple[list[str], list[str]]]:
        for row in rows():
            pair = pair_of(row.value)
            if pair is not None:
                yield pair[0], [_named(tag, names) for tag in pair[1]]

    joining = guess_joining(tokens for tokens, _ in decoded())
    reading = read_tags(
        lambda: (tags for _, tags in decoded()), bare=True, predicted=options.predicted
    )
    for row in rows():
        block = _block(path, row, reading, names)
        yield from finish(path, block, reading.scheme, joining, options)


def _named(tag: Any, names: Sequence[str] | None) -> str:
    if names is not None and is_whole(tag) and 0 <= tag < len(names):
        return names[tag]
    return str(tag)


def _block(path: Path, row: Row, reading: TagReading, names: Sequence[str] | None) -> Block:
    block = Block(row=row)
    number = row.line or row.number
    pair = pair_of(row.value)
    if row.fault is not None or pair is None:
        block.fault = row.fault or CorpusError(
            "a row without a list of tokens and a list of as many tags",
            path=path,
            line=row.line,
            id=id_of(row.value) if isinstance(row.value, dict) else None,
            hint='expected {"tokens", "ner_tags"}',
        )
        return block
    block.id = id_of(row.value)
    tokens, tags = pair
    if names is None and any(is_whole(tag) for tag in tags):
        block.fault = CorpusError(
            "tags are numbers, and the file does not name them",
            path=path,
            line=row.line,
            id=block.id,
            hint='write their names: {"ner_tags": ["B-PER", "O"]}',
        )
        return block
    block.tags = reading.usual(_named(tag, names) for tag in tags)
    block.tokens, block.numbers = list(tokens), [number] * len(tokens)
    text = row.value.get("text")
    block.text = text if isinstance(text, str) else None
    return block


def _row(sentence: Sentence) -> dict[str, Any]:
    places, tags = tokens_and_tags(sentence)
    if not places:
        raise CorpusError(
            "an empty text cannot be written as tokens", id=sentence.id, hint="use the spans format"
        )
    # Parquet's strings are UTF-8.
    encode(sentence, f"{sentence.id}{sentence.text}" + "".join(s.label for s in sentence.spans))
    return {
        "id": sentence.id,
        "tokens": [sentence.text[start:end] for start, end in places],
        "ner_tags": tags,
        "text": sentence.text,
    }


def _write(sentence: Sentence, stream: BinaryIO) -> None:
    stream.write(dump_json(_row(sentence)) + b"\n")


def _parquet(path: Path) -> Any:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtraError("hub", f"reading or writing {str(path)!r} as Parquet") from None
    return parquet


def _read_parquet(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    parquet = _parquet(path)
    try:
        file = parquet.ParquetFile(path)
        names = _class_names(file.schema_arrow.metadata or {})
    except BROKEN as error:
        raise _unreadable(path, error) from None

    # A part of a job has each row as a whole, besides the columns that queries ask for.
    whole = {ROW_COLUMN, "text", "spans"} <= set(file.schema_arrow.names)
    whole = whole and file.schema_arrow.field(ROW_COLUMN).type == "string"

    def rows() -> Iterator[Row]:
        count = 0
        try:
            for batch in file.iter_batches(1000, columns=[ROW_COLUMN] if whole else None):
                for value in batch.to_pylist():
                    count += 1
                    yield Row(parse_json(value[ROW_COLUMN]) if whole else value, None, count)
        except BROKEN as error:
            raise _unreadable(path, error) from None

    if whole:
        from llmner.corpora.jsonl import read_span_rows

        return read_span_rows(path, options, rows())

    some = [row.value for row in islice(rows(), 100)]
    if some and not any(pair_of(value) for value in some):
        expected = "the columns tokens and ner_tags, or a text, with annotations or without"

        def record(row: Any) -> Record | None:
            return record_or_plain(_named_classes(row, names))

        return read_records(path, options, record, expected, rows=rows())
    return token_sentences(path, rows, options, names)


def _named_classes(row: Any, names: list[str] | None) -> Any:
    """A row whose classes of the whole text have names, where the file tells them."""
    label = row.get("label") if isinstance(row, dict) else None
    if names is None or type(label) is not int or not 0 <= label < len(names):
        return row
    return {**row, "label": names[label]}


def _unreadable(path: Path, error: Exception) -> CorpusError:
    why = str(error).partition("\n")[0][:200]
    return CorpusError(f"is no Parquet file that can be read ({why})", path=path)


def _class_names(metadata: dict[bytes, bytes]) -> list[str] | None:
    """The names of the tags' class ids, as the library ``datasets`` keeps them in a file."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return None
    for key in TAG_KEYS:
        feature = features.get(key)
        while isinstance(feature, dict):
            if isinstance(feature.get("names"), list):
                return [str(name) for name in feature["names"]]
            feature = feature.get("feature")
    return None


def _write_parquet(sentences: Iterable[Sentence], stream: BinaryIO) -> None:
    parquet = _parquet(Path("the file"))
    import pyarrow as arrow

    texts = arrow.list_(arrow.string())
    schema = arrow.schema(
        [("id", arrow.string()), ("tokens", texts), ("ner_tags", texts), ("text", arrow.string())]
    )
    rows: list[dict[str, Any]] = []
    with parquet.ParquetWriter(stream, schema) as writer:
        for sentence in sentences:
            rows.append(_row(sentence))
            if len(rows) >= 1000:
                writer.write_table(arrow.Table.from_pylist(rows, schema))
                rows = []
        writer.write_table(arrow.Table.from_pylist(rows, schema))


TOKENS = CorpusFormat(
    "tokens", _read, _write, None, looks_like_rows=_looks_like_rows, kept=tokenized
)
PARQUET = CorpusFormat(
    "parquet",
    _read_parquet,
    None,
    None,
    suffixes=(".parquet",),
    write_whole=_write_parquet,
    kept=tokenized,
)
FORMATS = (TOKENS, PARQUET)
