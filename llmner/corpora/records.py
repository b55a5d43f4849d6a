"""JSON of other tools that are only read: a text, and annotations under any usual key.

``cluener`` has labels with surfaces and inclusive places, ``modu`` the sentences of the National
Institute of Korean Language, ``dataturks`` points with inclusive ends. ``records`` is everything
else in which each row has a text and a list of spans, whatever the keys are called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from llmner.corpora._format import CorpusFormat, ReadOptions
from llmner.corpora._records import Record, are_records, read_records, record_of, record_or_plain
from llmner.spans import Sentence

__all__ = ["CLUENER", "DATATURKS", "FORMATS", "MODU", "RECORDS"]


def _format(
    name: str,
    parse: Callable[[Any], Record | None],
    expected: str,
    looks_like_rows: Callable[[list[Any]], bool],
    *,
    inclusive: bool = False,
) -> CorpusFormat:
    """A format that is only read; see :func:`read_records`."""

    def read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
        return read_records(path, options, parse, expected, inclusive=inclusive)

    return CorpusFormat(name, read, None, None, looks_like_rows=looks_like_rows)


def _parse_cluener(row: Any) -> Record | None:
    return record_or_plain(row, ("label",))


def _is_cluener(rows: list[Any]) -> bool:
    return are_records(rows, _has_surfaces) and any(row["label"] for row in rows if "label" in row)


def _has_surfaces(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and isinstance(row.get("label"), dict)
        and all(isinstance(places, dict) for places in row["label"].values())
        and record_of(row, ("label",)) is not None
    )


def _parse_modu(row: Any) -> Record | None:
    return record_of(row, ("NE",))


def _is_modu(rows: list[Any]) -> bool:
    return all(isinstance(row, dict) and "NE" in row and _parse_modu(row) for row in rows)


def _parse_dataturks(row: Any) -> Record | None:
    if isinstance(row, dict) and isinstance(row.get("content"), str) and "annotation" in row:
        return record_of(row, ("annotation",))
    return None


def _is_dataturks(rows: list[Any]) -> bool:
    return all(_parse_dataturks(row) is not None for row in rows)


def _is_record(rows: list[Any]) -> bool:
    if not are_records(rows, lambda row: record_of(row) is not None):
        return False
    records = [record for row in rows if (record := record_of(row)) is not None]
    claims = [claim for record in records for claim in record.claims]
    # Surfaces alone are what a model claims, and no corpus.
    return any(claim.start is not None for claim in claims) or not claims


CLUENER = _format(
    "cluener",
    _parse_cluener,
    '{"text", "label": {label: {surface: [[0, 1]]}}}',
    _is_cluener,
    inclusive=True,
)
MODU = _format("modu", _parse_modu, '{"form", "NE": [{"form", "label", "begin", "end"}]}', _is_modu)
DATATURKS = _format(
    "dataturks",
    _parse_dataturks,
    '{"content", "annotation": [{"label", "points"}]}',
    _is_dataturks,
    inclusive=True,
)
RECORDS = _format(
    "records",
    record_or_plain,
    'a text and annotations, such as {"text", "entities": [...]}',
    _is_record,
)
FORMATS = (CLUENER, MODU, DATATURKS, RECORDS)
