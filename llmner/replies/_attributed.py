"""Rows and keys of replies that give a mention with its attributes, in any style models write."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from llmner.replies._json_values import Pairs
from llmner.replies._mentions import MentionCollector, is_none_word, is_nothing
from llmner.schema import Label, LabelSchema

__all__ = [
    "AttributedLines",
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
_LONGEST_HEADING = 60
_COMMAS = re.compile(r"[,，、;；]\s*")
_DECORATION = " \t*#_`\"'“”‘’[]【】<>:："
# What stands beside a value in a heading: Positive aspects, 긍정 항목.
_BESIDE_VALUES = frozenset(
    "aspect aspects term terms word words item items mention mentions entity entities thing things "
    "target targets label labels sentiment polarity 항목 용어 표현 단어 측면 요소 속성 감성 "
    "평가".split()
)

_Row: TypeAlias = tuple[str, str, dict[str, Any]]
"""(label, surface, attributes) of a mention."""


class AttributedLines:
    """Reads lines with attributes, and keeps what earlier lines say of later ones.

    These are rows (:func:`add_attributed_row`), an attribute on the line after its mention, and
    headings and line heads that are a value.

    Args:
        collector: Takes the mentions. Its schema has attributes.
    """

    def __init__(self, collector: MentionCollector) -> None:
        self._collector = collector
        # The value of the heading above, and the surface on the line before.
        self._heading: dict[str, Any] = {}
        self._surface: str | None = None
        # Where attributes stand before their mentions: those of the next one, and how many
        # mentions there are before it.
        self._next: dict[str, Any] = {}
        self._count = 0
        self._stands_before = False

    def read(self, line: str, *, is_bulleted: bool) -> bool:
        """Whether a line was one with attributes.

        Args:
            line: The line, without its bullet.
            is_bulleted: Whether it had one.
        """
        self.settle()
        if len(line) > _LONGEST:
            return False
        body = line.replace("**", "").strip()
        if self._adds_attribute(body) or self._is_headed(body):
            return True
        if add_attributed_row(line, self._collector):
            self._heading, self._surface = {}, None
            return True
        if self._is_heading(line.strip()):
            return True
        surfaces = _surfaces(body)
        here = bool(surfaces) and all(map(self._has, surfaces))
        if self._heading and (here or is_bulleted):
            self._add([own for own in surfaces if not is_none_word(own)], self._heading)
            return True
        self._heading = {}
        self._surface = surfaces[0] if here and len(surfaces) == 1 else None
        return False

    def settle(self) -> None:
        """Give the mentions of the line before the attributes that stand before them."""
        mentions = self._collector.mentions
        if self._next and len(mentions) > self._count:
            mentions[self._count :] = [
                replace(mention, attributes={**self._next, **mention.attributes})
                for mention in mentions[self._count :]
            ]
            self._next = {}

    def _adds_attribute(self, body: str) -> bool:
        """Whether a line gives an attribute to the mention on the line before, or after."""
        schema, mentions = self._collector.schema, self._collector.mentions
        match = _NAMED.fullmatch(body)
        assert schema is not None
        if match is None or schema.resolve(match["name"]) is not None:
            return False
        if self._surface is not None and len(schema.labels) == 1:
            name = schema.labels[0].resolve_attribute(match["name"])
            if name is not None:
                self._add([self._surface], {name: match["value"].strip(_DECORATION)})
                self._surface = None
                return True
        label = schema.by_code.get(schema.resolve(mentions[-1].label) or "") if mentions else None
        if label is None or self._stands_before:
            own = schema.labels[0] if len(schema.labels) == 1 else None
            name = None if own is None else own.resolve_attribute(match["name"])
            if name is None:
                return False
            self._stands_before = True
            self._next[name] = match["value"].strip(_DECORATION)
            self._count = len(mentions)
            return True
        name = label.resolve_attribute(match["name"])
        if name is None or name in mentions[-1].attributes:
            return False
        said = {**mentions[-1].attributes, name: match["value"].strip(_DECORATION)}
        mentions[-1] = replace(mentions[-1], attributes=said)
        return True

    def _is_headed(self, body: str) -> bool:
        """Whether a line was ``Positive: soup, fries`` or ``soup, fries: positive``."""
        head, colon, rest = body.replace("：", ":").partition(":")
        if not colon or not rest.strip():
            return False
        for phrase, listed in ((head, rest), (rest, head)):
            value = self._value(phrase)
            if value and phrase is head and is_nothing(listed):
                return True
            surfaces = _surfaces(listed)
            if value and any(map(self._has, surfaces)):
                self._add(surfaces, value)
                return True
        return False

    def _is_heading(self, line: str) -> bool:
        """Whether a line is a heading that is a value: ``### Positive``, ``Negative:``."""
        marked = line.startswith(("#", "*", "_")) or line.endswith((":", "：", ":**", "：**"))
        value = self._value(line) if marked and len(line) <= _LONGEST_HEADING else {}
        self._heading = value or self._heading
        return bool(value)

    def _value(self, phrase: str) -> dict[str, Any]:
        """The attribute whose value a phrase is, where one label was asked for."""
        schema = self._collector.schema
        assert schema is not None
        return value_named(phrase, schema.labels[0]) if len(schema.labels) == 1 else {}

    def _has(self, surface: str) -> bool:
        source = self._collector.source
        return source is not None and source.has(surface)

    def _add(self, surfaces: Sequence[str], attributes: dict[str, Any]) -> None:
        schema = self._collector.schema
        assert schema is not None
        for surface in surfaces:
            self._collector.add(schema.labels[0].code, surface, attributes)


def _surfaces(listed: str) -> list[str]:
    """Surfaces with commas between."""
    pieces = (piece.strip(_DECORATION) for piece in _COMMAS.split(listed))
    return [piece for piece in pieces if piece]


def value_named(phrase: str, label: Label) -> dict[str, Any]:
    """The attribute whose value a phrase is; empty if it is none.

    >>> from llmner.schema import Label
    >>> value_named("Positive aspects", Label(code="A", attributes={"tone": ["positive"]}))
    {'tone': 'Positive'}
    """
    if len(phrase) > _LONGEST_HEADING:
        return {}
    words = phrase.strip(_DECORATION).split()
    said = " ".join(word for word in words if word.casefold() not in _BESIDE_VALUES)
    for name, attribute in label.attributes.items():
        if said and attribute.values and attribute.takes(said):
            return {name: said}
    return {}


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
    attributes = value_named(key, label)
    surfaces = value if isinstance(value, list) else []
    if not attributes or not surfaces or not all(isinstance(item, str) for item in surfaces):
        return False
    for surface in surfaces:
        collector.add(label.code, surface, attributes)
    return True
