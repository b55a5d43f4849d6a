"""Rows and keys of replies that give a mention with its attributes, in any style models write."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

from llmner.replies._json_values import Pairs
from llmner.replies._mentions import MentionCollector
from llmner.schema import Label, LabelSchema

__all__ = [
    "add_attributed_key",
    "add_attributed_list",
    "add_attributed_object",
    "add_attributed_row",
    "add_attributed_under",
]

_CELLS = re.compile(r"\t|\s*\|\s*")
_PARTS = re.compile(r"\s*(?:->|=>|→|[:：,，;；|=/])\s*|\s+[-–—]\s+")
_BRACKETED = re.compile(r"(?P<head>.+?)\s*[(\[（【](?P<inside>[^()\[\]（）【】]{1,200})[)\]）】]")
_NAMED = re.compile(r"\s*(?P<name>[^:：=]{1,60}?)\s*[:：=]\s*(?P<value>.+)")
_ROWS = re.compile(r"[,，、;；]\s*(?![^()\[\]（）]*[)\]）])")
_LONGEST = 2000

_Row: TypeAlias = tuple[str, str, dict[str, Any]]
"""(label, surface, attributes) of a mention."""


def add_attributed_row(line: str, collector: MentionCollector) -> bool:
    """Add the mention of a line with attributes, ``food | TERM | positive``, ``food (positive)``.

    Args:
        line: The line, without a bullet.
        collector: Takes the mention. Its schema has attributes.

    Returns:
        Whether the line was one.
    """
    schema = collector.schema
    if schema is None or not schema.has_attributes or len(line) > _LONGEST:
        return False
    body = line.strip().strip("|").replace("**", "").strip()
    pieces = [] if "\t" in body or "|" in body else _ROWS.split(body)
    # food (positive), prices (negative)
    listed = [_rows_of(piece, collector) for piece in pieces] if len(pieces) > 1 else [[]]
    rows = [row for piece in listed for row in piece] if all(listed) else []
    rows = rows or _rows_of(body, collector)
    for row in rows:
        collector.add(*row)
    return bool(rows)


def _rows_of(body: str, collector: MentionCollector) -> list[_Row]:
    """The mention of a line; none if it is no row with attributes."""
    divisions = _divisions(body)
    for named in (True, False):
        for cells in divisions:
            row = _mention_of(cells, collector, named=named)
            if row is not None:
                return [row]
    return []


def _divisions(body: str) -> list[list[str]]:
    """The ways to divide a line into cells, the likeliest first."""
    if "\t" in body or "|" in body:
        cells = [cell.strip() for cell in _CELLS.split(body)]
        # The first of three is the row's number.
        return [cells[1:] if len(cells) > 2 and cells[0].isdecimal() else cells]
    ways = []
    bracketed = _BRACKETED.fullmatch(body)
    if bracketed is not None:
        inside = _PARTS.split(bracketed["inside"])
        ways += [[bracketed["head"], *inside], [*_PARTS.split(bracketed["head"]), *inside]]
        ways.append([*_PARTS.split(bracketed["head"]), bracketed["inside"]])
    ways.append(_PARTS.split(body))
    return [[cell.strip(" \"'“”‘’`") for cell in way] for way in ways if len(way) > 1]


def _mention_of(cells: Sequence[str], collector: MentionCollector, *, named: bool) -> _Row | None:
    """The mention of cells; ``None`` if they name no known value, or no label.

    Args:
        cells: The cells.
        collector: Has the schema and the text.
        named: Whether one of them must be a label. Where one label was asked for, none need be.
    """
    schema = collector.schema
    assert schema is not None
    cells = [cell for cell in cells if cell]
    codes = [schema.resolve(cell) for cell in cells]
    places = [number for number, code in enumerate(codes) if code is not None]
    if named and len(places) == 1:
        label = schema.by_code[str(codes[places[0]])]
        rest = [cell for number, cell in enumerate(cells) if number != places[0]]
    elif not named and len(schema.labels) == 1:
        label, rest = schema.labels[0], list(cells)
    else:
        return None
    if len(rest) < 2 or not label.attributes:
        return None
    # "positive: food" of a text about food.
    source = collector.source
    known = [cell for cell in rest if source is not None and source.has(cell)]
    surface = rest[0] if rest[0] in known or not known else known[0]
    values = list(rest)
    values.remove(surface)
    attributes = attributes_in(values, label)
    if not any(label.attributes[name].takes(value) for name, value in attributes.items()):
        return None
    return label.code, surface, attributes


def attributes_in(cells: Sequence[str], label: Label) -> dict[str, Any]:
    """The attributes that cells give: by name, by a value that only one of them has, or in order.

    >>> from llmner.schema import Label
    >>> label = Label(code="A", attributes={"tone": ["good", "bad"], "size": "number"})
    >>> attributes_in(["size=3", "bad"], label)
    {'size': '3', 'tone': 'bad'}
    """
    attributes: dict[str, Any] = {}
    unnamed: list[str] = []
    following = ""
    for cell in cells:
        if following:
            # polarity, positive
            attributes[following] = cell
            following = ""
            continue
        following = label.resolve_attribute(cell) or ""
        if following:
            continue
        match = _NAMED.fullmatch(cell)
        name = None if match is None else label.resolve_attribute(match["name"])
        if match is not None and name is not None:
            attributes[name] = match["value"]
        else:
            unnamed.append(cell)
    left = [name for name in label.attributes if name not in attributes]
    if len(unnamed) == len(left):
        # Each has its place, be it with a dash.
        in_order = dict(zip(left, unnamed, strict=True))
        if all(label.attributes[n].read(v).kind != "unknown" for n, v in in_order.items()):
            return attributes | in_order
    for cell in unnamed:
        if not left:
            break
        fits = [n for n in left if label.attributes[n].takes(cell)]
        name = next((n for n in fits if label.attributes[n].values), (fits or left)[0])
        attributes[name] = cell
        left.remove(name)
    return attributes


def add_attributed_list(values: Sequence[Any], collector: MentionCollector) -> bool:
    """Add the mention of ``["food", "TERM", "positive"]``, with or without the label.

    Returns:
        Whether the list was one.
    """
    schema = collector.schema
    if schema is None or not schema.has_attributes or not 2 <= len(values) <= 20:
        return False
    if not all(isinstance(value, str) for value in values):
        return False
    each = [_rows_of(value, collector) for value in values]
    if all(each):
        # ["food (positive)", "service (negative)"]
        for read in each:
            collector.add(*read[0])
        return True
    if len(values) > 3 and len(values) % 2 == 0:
        # ["food", "positive", "service", "negative"]
        pairs = [
            _mention_of(values[number : number + 2], collector, named=False)
            for number in range(0, len(values), 2)
        ]
        if all(pairs):
            for pair in pairs:
                if pair is not None:
                    collector.add(*pair)
            return True
    for named in (True, False):
        row = _mention_of(values, collector, named=named)
        if row is not None:
            collector.add(*row)
            return True
    return False


def add_attributed_under(word: str, value: Any, collector: MentionCollector) -> bool:
    """Add the mentions under a label with attributes: ``{"food": "positive"}``,
    ``{"positive": ["food"]}``, ``["food", "positive"]``, ``["food (positive)"]``.

    Returns:
        Whether that stood under it.
    """
    schema = collector.schema
    code = None if schema is None else schema.resolve(word)
    label = None if schema is None or code is None else schema.by_code[code]
    if label is None or not label.attributes:
        return False
    alone = MentionCollector(LabelSchema(labels=(label,)), collector.budget, collector.source)
    if isinstance(value, Pairs):
        is_read = all(
            key is not None and add_attributed_key(str(key), item, alone) for key, item in value
        )
    else:
        strings = [item for item in value if isinstance(item, str)]
        is_read = len(strings) == len(value) and add_attributed_list(strings, alone)
        if not is_read and len(strings) == len(value) == 1:
            rows = _rows_of(strings[0], alone)
            for row in rows:
                alone.add(*row)
            is_read = bool(rows)
    if not is_read or not alone.mentions:
        return False
    collector.mentions += alone.mentions
    return True


def add_attributed_object(pairs: Pairs, collector: MentionCollector) -> bool:
    """Add the mention of ``{"aspect": "food", "sentiment": "positive"}``, where one label was asked
    for, which need not be said then.

    Returns:
        Whether the object was one.
    """
    schema = collector.schema
    if schema is None or not schema.has_attributes or len(schema.labels) != 1 or len(pairs) < 2:
        return False
    label = schema.labels[0]
    closed = [attribute for attribute in label.attributes.values() if attribute.values]
    attributes: dict[str, Any] = {}
    surfaces: list[tuple[str, str]] = []
    for key, value in pairs:
        is_named = key is not None and label.resolve_attribute(str(key)) is not None
        if is_named or any(attribute.takes(value) for attribute in closed):
            attributes[str(key)] = dict(value) if isinstance(value, Pairs) else value
        elif isinstance(value, str) and schema.resolve(value) is None:
            surfaces.append((str(key), value))
        elif not (isinstance(value, str) or value is None):
            return False
    source = collector.source
    known = [(key, said) for key, said in surfaces if source is None or source.has(said)]
    if not known or not attributes:
        return False
    # Of {"aspect": "food", "opinion": "great"}, the one whose key is a word for the label, or the
    # first.
    key, surface = next((pair for pair in known if schema.resolve(pair[0])), known[0])
    others = {name: said for name, said in surfaces if name != key}
    collector.add(label.code, surface, attributes | others)
    return True


def add_attributed_key(key: str, value: Any, collector: MentionCollector) -> bool:
    """Add the mentions of ``{"food": "positive"}`` and ``{"positive": ["food"]}``.

    Only where one label was asked for, which nobody says then.

    Returns:
        Whether the key and its value were such.
    """
    schema = collector.schema
    if schema is None or not schema.has_attributes or len(schema.labels) != 1:
        return False
    label = schema.labels[0]
    if isinstance(value, Pairs):
        plain = value.to_dict()
        if plain and all(label.resolve_attribute(name) is not None for name in plain):
            collector.add(label.code, key, plain)
            return True
        return False
    closed = [(name, a) for name, a in label.attributes.items() if a.values]
    if isinstance(value, str):
        fits = [name for name, attribute in closed if attribute.takes(value)]
        is_value = [name for name, attribute in closed if attribute.takes(key)]
        if fits and not is_value:
            collector.add(label.code, key, {fits[0]: value})
            return True
        if is_value and not fits:
            # {"positive": "food"}
            collector.add(label.code, value, {is_value[0]: key})
            return True
        return False
    fits = [name for name, attribute in closed if attribute.takes(key)]
    surfaces = value if isinstance(value, list) else []
    if not fits or not surfaces or not all(isinstance(item, str) for item in surfaces):
        return False
    for surface in surfaces:
        collector.add(label.code, surface, {fits[0]: key})
    return True
