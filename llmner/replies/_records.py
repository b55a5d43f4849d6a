"""Replies with a record for each entity: blocks of ``key: value`` as in YAML, CSV, and tables."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

from llmner.replies._interpret import (
    LABEL_KEYS,
    TEXT_KEYS,
    collect_surfaces,
    first_of,
    likeliest,
    normalize_key,
)
from llmner.replies._mentions import MentionCollector, is_label, names_nothing
from llmner.replies._types import Reading, Unwrapped
from llmner.schema import LabelSchema

__all__ = ["read_records", "read_tables"]

_INDENT = r"[ \t]*+(?:(?:[-*•]|\d{1,3}[.)])[ \t]++)?"
_FIELD = re.compile(
    rf"(?P<mark>{_INDENT})"
    r"[*_`\"']{0,3}(?P<key>[^:：=\n*_`\"']{1,30}(?:_[^:：=\n*_`\"']{1,20})?)"
    r"[*_`\"']{0,3}[ \t]*[:：=][ \t]*[*_`]{0,3}(?P<value>.*)"
)
_MARK = re.compile(r"^(?:[-*•]|\d{1,3}[.)])\s+")
# A field whose key says that it is a label: without one there is no record.
_ANY_KEY = "|".join(sorted((*LABEL_KEYS, *TEXT_KEYS), key=len, reverse=True)).replace("_", "[ _-]")
_has_label_field = re.compile(
    rf"^{_INDENT}[*_`\"']{{0,3}}"
    rf"(?:{_ANY_KEY})[*_`\"']{{0,3}}[ \t]*+[:：=]",
    re.IGNORECASE | re.MULTILINE,
).search
_may_be_a_table = re.compile(r"\A\s*+[^\n|,;\t<]*+[|,;\t<]").match
_QUOTES = "\"'“”‘’`*_"
_BREAK = re.compile(r"<br\s?/?>|\n", re.IGNORECASE)
_HTML_ROW = re.compile(r"<tr\b[^<>]{0,200}>(.*?)(?=</?tr\b|</table|\Z)", re.IGNORECASE | re.DOTALL)
_HTML_CELL = re.compile(r"<t[dh]\b[^<>]{0,200}>(.*?)(?=</?t[dh]\b|\Z)", re.IGNORECASE | re.DOTALL)
_MOST_COLUMNS = 100
_RULE = re.compile(r"[\s|:+=-]+")
_MARKUP = re.compile(r"</?(?!br\b)[a-zA-Z][^<>]{0,200}>")


def read_records(unwrapped: Unwrapped) -> Reading | None:
    """Read blocks of fields, one of which is a label and one a text; ``None`` for other replies.

    ``- text: 민준`` and ``label: PS`` below it are an entity; so are blocks without dashes.
    """
    for part in unwrapped.parts:
        if _has_label_field(part) is None:
            continue
        collector = MentionCollector(unwrapped.schema, unwrapped.budget, unwrapped.source)
        unread = _read_fields(part, collector)
        if collector.mentions:
            collector.repairs["records"] = None
            return collector.reading("json-list", ["prose"] if unread else [])
    return None


def _read_fields(part: str, collector: MentionCollector) -> int:
    heading, unread = "", 0
    record: dict[str, str] = {}

    def end() -> None:
        _add_record(record, heading, collector)
        record.clear()

    for line in part.split("\n"):
        collector.budget.spend(1 + len(line) // 8)
        match = _FIELD.fullmatch(line.strip("\r"))
        if match is None:
            if not line.strip():
                end()
            elif line.strip() not in ("-", "---"):
                unread += 1
            continue
        key, value = normalize_key(match["key"]), match["value"].strip().strip(_QUOTES).strip()
        if not value:
            end()
            heading = match["key"].strip()
        elif (
            key in LABEL_KEYS
            or key in TEXT_KEYS
            or _names_attribute(match["key"], collector.schema)
        ):
            if match["mark"].strip() or key in record:
                end()
            record[key] = value
        elif record:
            if match["mark"].strip():
                end()
        else:
            unread += 1
    end()
    return unread


def _add_record(record: dict[str, str], heading: str, collector: MentionCollector) -> None:
    schema = collector.schema
    keys = [key for key in likeliest(record, LABEL_KEYS) if is_label(record[key], schema)]
    if not keys:
        keys = [
            key
            for key in ("entity", "name")
            if is_label(record.get(key, ""), schema) and len(record) > 1
        ]
    label = record[keys[0]] if keys else heading if is_label(heading, schema) else ""
    surface = first_of({key: record[key] for key in record if key not in keys}, TEXT_KEYS)
    if label and surface and not names_nothing(surface, collector.source):
        others = {key: value for key, value in record.items() if _names_attribute(key, schema)}
        collector.add(label, surface, others)


def _names_attribute(word: str, schema: LabelSchema | None) -> bool:
    return schema is not None and schema.names_attribute(word)


def read_tables(unwrapped: Unwrapped) -> Reading | None:
    """Read CSV, Markdown and HTML tables; ``None`` for replies that are no table of entities.

    Columns are a label and a text, by their titles; or each column is a label; or each row begins
    or ends with its label.
    """
    for part in unwrapped.parts:
        rows = _rows(part)
        if not rows:
            continue
        if all(row and _MARK.match(row[0]) for row in rows):
            rows = [[_MARK.sub("", row[0]), *row[1:]] for row in rows]
        unwrapped.budget.spend(1 + len(part) // 4)
        collector = MentionCollector(unwrapped.schema, unwrapped.budget, unwrapped.source)
        if (
            _read_columns(rows, collector)
            or _read_label_columns(rows, collector)
            or (not _is_rows_of_lines(part) and _read_pairs(rows, collector))
        ):
            collector.repairs["table"] = None
            return collector.reading("json-list")
    return None


def _is_rows_of_lines(part: str) -> bool:
    """Whether rows of two cells are parted by tabs or bars: those are ``_lines``' to read."""
    return "\t" in part or ("|" in part and "<tr" not in part.lower())


def _rows(part: str) -> list[list[str]]:
    """The cells of a table; nothing if the text is none."""
    if re.search(r"<tr\b", part, re.IGNORECASE):
        rows = [_HTML_CELL.findall(row) for row in _HTML_ROW.findall(part)]
        return [[_cell(_MARKUP.sub("", cell)) for cell in row] for row in rows if row]
    if _may_be_a_table(part) is None:
        return []
    lines = [line.strip() for line in part.split("\n") if line.strip()]
    barred = [line for line in lines if line.count("|") >= 2 or line.startswith("|")]
    if len(barred) >= 2:
        cells = [
            line.removeprefix("|").removesuffix("|").split("|")
            for line in barred
            if not _RULE.fullmatch(line)
        ]
        return [[_cell(cell) for cell in row] for row in cells]
    for delimiter in (",", "\t", ";"):
        if lines and all(delimiter in line for line in lines):
            try:
                rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
            except csv.Error:
                continue
            return [[_cell(cell) for cell in row] for row in rows]
    return []


def _cell(cell: str) -> str:
    return cell.strip().strip(_QUOTES).strip()


def _read_columns(rows: Sequence[Sequence[str]], collector: MentionCollector) -> bool:
    """Rows under titles such as ``text`` and ``label``."""
    titles = [normalize_key(cell) for cell in rows[0][:_MOST_COLUMNS]]
    label = next(map(titles.index, likeliest(titles, LABEL_KEYS)), None)
    texts = map(titles.index, likeliest(titles, TEXT_KEYS))
    text = next((column for column in texts if column != label), None)
    if text is None and label is None:
        return False
    if label is None or text is None:
        # One title is known: the other column is the one that has only labels, or none.
        known = text if label is None else label
        others = [column for column in range(len(titles)) if column != known]
        if label is None:
            label = next(
                (
                    c
                    for c in others
                    if all(is_label(r[c], collector.schema) for r in rows[1:] if len(r) > c)
                ),
                None,
            )
        else:
            text = others[0] if len(others) == 1 else None
    if label is None or text is None or len(rows) < 2:
        return False
    others = [
        column
        for column in range(len(titles))
        if column not in (label, text) and _names_attribute(titles[column], collector.schema)
    ]
    for row in rows[1:]:
        if len(row) > max(label, text) and is_label(row[label], collector.schema):
            attributes = {titles[column]: row[column] for column in others if column < len(row)}
            if attributes:
                collector.add(row[label], row[text], attributes)
            else:
                _add_cell(row[label], row[text], collector)
    return bool(collector.mentions)


def _read_label_columns(rows: Sequence[Sequence[str]], collector: MentionCollector) -> bool:
    """A column for each label, its surfaces below."""
    labels = [cell if is_label(cell, collector.schema) else "" for cell in rows[0]]
    if sum(map(bool, labels)) < 2 or len(rows) < 2:
        return False
    if any(is_label(cell, collector.schema) for row in rows[1:] for cell in row if cell):
        return False
    for row in rows[1:]:
        for label, cell in zip(labels, row, strict=False):
            if label:
                _add_cell(label, cell, collector)
    return bool(collector.mentions)


def _read_pairs(rows: Sequence[Sequence[str]], collector: MentionCollector) -> bool:
    """Rows that begin or end with their label, without titles or with unknown ones."""
    read = 0
    for row in rows:
        cells = [cell for cell in row if cell and not re.fullmatch(r"\d{1,4}(?:\.\d+)?", cell)]
        labels = [number for number, cell in enumerate(cells) if is_label(cell, collector.schema)]
        if len(labels) != 1 or len(cells) < 2:
            continue
        read += 1
        (label,) = labels
        # After the label all are surfaces; before it stands one.
        surfaces = cells[1:] if label == 0 else cells[:1]
        for surface in surfaces:
            _add_cell(cells[label], surface, collector)
    if read < len(rows) - 1 or not read:
        collector.mentions.clear()
    return bool(collector.mentions)


def _add_cell(label: str, cell: str, collector: MentionCollector) -> None:
    for surface in map(str.strip, _BREAK.split(cell)):
        if surface and not names_nothing(surface, collector.source):
            collect_surfaces(label, surface.strip(_QUOTES), collector)
