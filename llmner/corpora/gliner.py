"""Training data of GLiNER and GLiNER2.

GLiNER has tokens and spans of tokens with inclusive ends:
``{"tokenized_text": ["Anna", "left"], "ner": [[0, 0, "person"]]}``. GLiNER2 has a text and the
surfaces of each label: ``{"input": "Anna left", "output": {"entities": {"person": ["Anna"]}}}``. It
does not say where a surface stands; each takes the next occurrence in the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from llmner._numbers import is_whole
from llmner.corpora._blocks import Joining, guess_joining, join, rejoined, tokens_and_tags
from llmner.corpora._claims import SpanClaim, annotations_of
from llmner.corpora._format import CorpusFormat, ReadOptions, outermost
from llmner.corpora._json import json_rows
from llmner.corpora._losses import OTHERS, RELATIONS
from llmner.corpora._offsets import sought_spans
from llmner.corpora._records import Loss, Record, id_of, read_records
from llmner.errors import CorpusError
from llmner.files import dump_json
from llmner.spans import Sentence
from llmner.tagging import tags_to_spans

__all__ = ["FORMATS", "GLINER", "GLINER2"]


def _are_tokenized(rows: list[Any]) -> bool:
    return all(_tokens(row) is not None and isinstance(row.get("ner"), list) for row in rows)


def _tokens(row: Any) -> list[str] | None:
    tokens = row.get("tokenized_text") if isinstance(row, dict) else None
    if isinstance(tokens, list) and all(isinstance(token, str) for token in tokens):
        return tokens
    return None


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    joining = guess_joining(
        tokens for row in json_rows(path) if (tokens := _tokens(row.value)) is not None
    )

    def parse(row: Any) -> Record | None:
        return _record(row, joining)

    return read_records(path, options, parse, '{"tokenized_text", "ner": [[0, 0, label]]}')


def _record(row: Any, joining: Joining) -> Record | None:
    tokens = _tokens(row)
    if tokens is None:
        return None
    text, places = join(tokens, joining)
    claims = []
    for item in row.get("ner") or []:
        if (
            not isinstance(item, list)
            or len(item) < 3
            or not (is_whole(item[0]) and is_whole(item[1]))
            or not 0 <= item[0] <= item[1] < len(tokens)
        ):
            return None
        start, end = places[item[0]][0], places[item[1]][1]
        claims.append(SpanClaim(start, end, str(item[2])))
    losses = [Loss(RELATIONS, f"{len(row['relations'])} of a row")] if row.get("relations") else []
    return Record(text, claims, id_of(row), (), losses)


def _write(sentence: Sentence, stream: BinaryIO) -> None:
    places, tags = tokens_and_tags(sentence)
    row = {
        "tokenized_text": [sentence.text[start:end] for start, end in places],
        "ner": [[span.start, span.end - 1, span.label] for span in tags_to_spans(tags)[0]],
    }
    if not places:
        raise CorpusError(
            "an empty text cannot be written as GLiNER", id=sentence.id, hint="use the spans format"
        )
    stream.write(dump_json(row))


_TASKS = {"entities", "classifications", "json_structures", "relations", "structures"}


def _have_output(rows: list[Any]) -> bool:
    return all(_output(row) is not None for row in rows) and any(
        _TASKS & (_output(row) or ("", {}))[1].keys() for row in rows
    )


def _output(row: Any) -> tuple[str, dict[str, Any]] | None:
    """The text and the output of a row of GLiNER2."""
    if not isinstance(row, dict):
        return None
    text = row.get("input", row.get("text"))
    output = row.get("output", row.get("schema"))
    if (
        isinstance(text, str)
        and isinstance(output, dict)
        and (not output or _TASKS & output.keys())
    ):
        return text, output
    return None


def _parse2(row: Any) -> Record | None:
    if (parts := _output(row)) is None:
        return None
    text, output = parts
    entities = output.get("entities") or {}
    claims = annotations_of(entities, text) if entities else []
    if claims is None:
        return None
    losses = [
        Loss(OTHERS, f"{key} of a row")
        for key, value in output.items()
        if value and key not in ("entities", "entity_descriptions")
    ]
    return Record(text, claims, id_of(row), (), losses)


def _read2(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    expected = '{"input", "output": {"entities": {label: [surface]}}}'
    return read_records(path, options, _parse2, expected)


def _write2(sentence: Sentence, stream: BinaryIO) -> None:
    row = {"input": sentence.text, "output": {"entities": _entities(sentence)}}
    stream.write(dump_json(row) + b"\n")


def _kept2(sentence: Sentence) -> Sentence:
    """A sentence as its surfaces place it."""
    claims = annotations_of(_entities(sentence), sentence.text) or []
    return Sentence(sentence.text, tuple(outermost(sought_spans(sentence.text, claims))))


def _entities(sentence: Sentence) -> dict[str, list[str]]:
    entities: dict[str, list[str]] = {}
    for span in sentence.spans:
        entities.setdefault(span.label, []).append(sentence.surface(span))
    return entities


GLINER = CorpusFormat(
    "gliner",
    _read,
    _write,
    None,
    b"[\n",
    between=b",\n",
    footer=b"\n]\n",
    looks_like_rows=_are_tokenized,
    kept=partial(rejoined, joining=None),
)
GLINER2 = CorpusFormat("gliner2", _read2, _write2, None, looks_like_rows=_have_output, kept=_kept2)
FORMATS = (GLINER, GLINER2)
