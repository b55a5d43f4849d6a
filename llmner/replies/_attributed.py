"""Rows and keys of replies that give a mention with its attributes, in any style models write."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from llmner.replies._json_values import Pairs
from llmner.replies._mentions import BULLET, MentionCollector, is_none_word, is_nothing
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
# What parts rows on one line, and what parts the cells of one.
_STRONG, _WEAK = re.compile(r"\s*[;；]\s*|\s+\|\s+"), re.compile(r"\s*[,，]\s*")
_BRACKETS = re.compile(r"[()（）\[\]]")
# A number behind a name: Aspect 1, Sentiment #2.
_NUMBERED = re.compile(r"\s*#?\d{1,3}$")
_AND = re.compile(r"\s+(?:and|und|&|및|그리고)\s+|(?<=[가-힣])(?:와|과)\s+")
# What stands beside a value in a heading: Positive aspects, 긍정 항목.
_BESIDE_VALUES = frozenset(
    "aspect aspects term terms word words item items mention mentions entity entities thing things "
    "target targets label labels sentiment polarity 항목 용어 표현 단어 측면 요소 속성 감성 "
    "평가".split()
)

_Row: TypeAlias = tuple[str, str, dict[str, Any]]
"""(label, surface, attributes) of a mention."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a reply.

    Attributes:
        raw: The line as it is.
        body: The line without bullet, marks of headings and asterisks.
        indent: The spaces before it.
        is_bulleted: Whether it has a bullet or a number.
        is_marked: Whether it looks like a heading: ``### Good``, ``Bad:``, ``**Good**``.
    """

    raw: str
    body: str
    indent: int
    is_bulleted: bool
    is_marked: bool


class AttributedLines:
    """Reads lines with attributes, where one line says something of others.

    These are rows (:func:`add_attributed_row`), headings that are a value, and attributes on lines
    of their own, before their mentions or after them. Which of the two it is, the order of all
    lines tells; where it does not, nothing is said of a mention rather than something wrong.

    Args:
        collector: Takes the mentions.
        schema: Its schema, which has attributes.
        text: The reply, or the part of it that is read.
    """

    def __init__(self, collector: MentionCollector, schema: LabelSchema, text: str) -> None:
        self._collector = collector
        self._schema = schema
        self.lines: list[str] = []
        """The lines to read: those of the text, with those that hold several rows divided."""
        for raw in text.split("\n"):
            self.lines += self._divided(raw.strip("\r"))
        self._parsed = [_line(raw) for raw in self.lines]
        # What each line says, once it was asked.
        self._attributes: list[dict[str, Any] | None] = [None] * len(self.lines)
        self._is_before, self._is_dropped = self._order()
        self._has_rows = any(self._is_row(line.body) for line in self._parsed)
        self._number = -1
        # Before their mentions: what was said last. After them: the mentions it is said of begin
        # at _group, and bare surfaces wait for it.
        self._said: dict[str, Any] = {}
        self._count = self._group = 0
        self._is_closed = False
        # The names of attributes that were said of all of them: said again, they change nothing.
        self._told: set[str] = set()
        self._surfaces: list[str] = []

    def read(self, number: int) -> bool:
        """Whether a line was one with attributes.

        Args:
            number: Its number in :attr:`lines`, which are read in order.
        """
        self.settle()
        self._number = number
        line = self._parsed[number]
        if not line.body or len(line.raw) > _LONGEST:
            return False
        said = self._attribute(number)
        if said:
            if not self._is_dropped[number]:
                self._take(said)
            return True
        if self._is_unknown(line.body):
            return True
        named = self._numbered(line.body)
        if named:
            self._add(named, {})
            return True
        if self._is_headed(line.body) or add_attributed_row(_unbulleted(line.raw), self._collector):
            self._said, self._surfaces, self._told = {}, [], set()
            self._count = self._group = len(self._collector.mentions)
            return True
        surfaces = self._surfaces_of(line.body)
        here = bool(surfaces) and all(map(self._has, surfaces))
        if self._is_before[number]:
            if self._said and (here or line.is_bulleted):
                self._add([own for own in surfaces if not is_none_word(own)], self._said)
                self._count = len(self._collector.mentions)
                return True
        elif here:
            self._surfaces += surfaces
        else:
            self._surfaces = []
        return False

    def settle(self) -> None:
        """Give the mentions of the line before what was said of them."""
        mentions = self._collector.mentions
        if len(mentions) == self._count:
            return
        if self._number >= 0 and self._is_before[self._number]:
            self._say(self._count, self._said)
        elif self._is_closed:
            self._group = self._count
        self._is_closed = False
        self._told = set()
        self._count = len(mentions)

    def _take(self, said: dict[str, Any]) -> None:
        """Take what a line says of mentions: of those that follow, or of those before it."""
        if self._is_before[self._number]:
            # Several attributes in a row are of the same mentions.
            follows = self._number > 0 and bool(self._attribute(self._number - 1))
            self._said = {**self._said, **said} if follows else said
            return
        if self._surfaces:
            # Unless they stand under a label, nobody has added them.
            mentions = self._collector.mentions
            known = {mention.text for mention in mentions[self._group :]}
            if not set(self._surfaces) <= known:
                self._group, self._told = len(mentions), set()
                self._add(self._surfaces, {})
            self._surfaces = []
            self._count = len(mentions)
        self._say(self._group, {name: own for name, own in said.items() if name not in self._told})
        self._told |= said.keys()
        self._is_closed = True

    def _say(self, first: int, said: dict[str, Any]) -> None:
        """Say something of all mentions from one on; what they say themselves wins."""
        mentions = self._collector.mentions
        if said:
            mentions[first:] = [
                replace(mention, attributes={**said, **mention.attributes})
                for mention in mentions[first:]
            ]

    def _divided(self, raw: str) -> list[str]:
        """A line, or its parts if each of them is one: ``Term: food, Polarity: positive; ...``."""
        bullet = BULLET.match(raw)
        body = raw[bullet.end() :] if bullet else raw
        if len(body) > _LONGEST or body.count("\t") or body.strip().startswith("|"):
            return [raw]
        for separator in (_STRONG, _WEAK):
            parts = [part for part in separator.split(body) if part.strip()]
            named = [_NAMED.fullmatch(part.replace("**", "").strip()) for part in parts]
            if len(parts) < 2 or not all(named):
                continue
            known = [match is not None and self._knows(match["name"]) for match in named]
            if all(known):
                inner = [own for part in parts for own in self._divided(part)]
                return [(bullet[0] if bullet else "") + inner[0], *inner[1:]]
            if separator is _STRONG and not any(known):
                return parts
        return [raw]

    def _knows(self, name: str) -> bool:
        """Whether a word before a colon is a label or an attribute."""
        return self._label(name) is not None or bool(self._named(name, ""))

    def _label(self, name: str) -> str | None:
        return _resolved(self._schema.resolve, name)

    def _named(self, name: str, value: str) -> dict[str, Any]:
        """The attribute that a word names, with its value; empty if it names none."""
        if self._label(name) is not None:
            return {}
        for label in self._schema.labels:
            known = _resolved(label.resolve_attribute, name)
            if known is not None:
                return {known: value.strip(_DECORATION)}
        return {}

    def _attribute(self, number: int) -> dict[str, Any]:
        """What a line says that is an attribute and nothing else; empty if it is none."""
        said = self._attributes[number]
        if said is None:
            said = self._attributes[number] = self._read_attribute(self._parsed[number])
        return said

    def _read_attribute(self, line: _Line) -> dict[str, Any]:
        match = _NAMED.fullmatch(line.body)
        if match is not None:
            return self._named(match["name"], match["value"])
        value = self._value(line.body)
        if not value or _BRACKETS.search(line.body) is not None:
            return {}
        # food (positive), food positive: a row, and no value alone.
        words = line.body.strip(_DECORATION).split()
        return {} if any(self._has(word) and not self._value(word) for word in words) else value

    def _order(self) -> tuple[list[bool], list[bool]]:
        """For each line, whether attributes stand before their mentions there, and whether one is
        about none of them.
        """
        whole = "".join(map(self._kind, range(len(self._parsed))))
        headed = any(
            kind == "a" and self._is_heading(number, whole) for number, kind in enumerate(whole)
        )
        blocks = _blocks(whole)
        apart = not headed and any("a" in own and "m" in own for _, own in blocks)
        before, dropped = [False] * len(whole), [False] * len(whole)
        for first, own in blocks if apart and len(blocks) > 1 else [(0, whole)]:
            order = [kind for kind in own if kind in "am"]
            is_before = headed or (order[:1] == ["a"] and order[-1:] == ["m"])
            for number in range(first, first + len(own)):
                before[number] = is_before
            if not is_before and order[:1] == ["a"]:
                # What stands before all mentions, where others stand after theirs, is about all.
                dropped[first + own.index("a")] = True
        return before, dropped

    def _kind(self, number: int) -> str:
        """``a`` for an attribute, ``m`` for mentions, ``-`` for a blank line, ``o`` for others."""
        line = self._parsed[number]
        if not line.body:
            return "-"
        if len(line.raw) > _LONGEST:
            return "o"
        if self._attribute(number):
            return "a"
        match = _NAMED.fullmatch(line.body)
        if match is not None:
            return "m" if self._label(match["name"]) is not None else "o"
        if is_none_word(line.body):
            return "m"
        surfaces = self._surfaces_of(line.body)
        return "m" if surfaces and all(map(self._has, surfaces)) else "o"

    def _is_heading(self, number: int, kinds: str) -> bool:
        """Whether an attribute stands over the lines below it."""
        line = self._parsed[number]
        below = next((n for n in range(number + 1, len(kinds)) if kinds[n] != "-"), None)
        if line.is_marked or below is None:
            return line.is_marked
        following = self._parsed[below]
        deeper = following.indent >= line.indent + line.is_bulleted
        return following.is_bulleted and deeper and kinds[below] == "m"

    def _is_unknown(self, body: str) -> bool:
        """Whether a line among rows was one with a value that nobody knows: ``service: mixed``."""
        match = _NAMED.fullmatch(body)
        if match is None or not self._has_rows or not self._has(match["name"].strip(_DECORATION)):
            return False
        value = match["value"].strip(_DECORATION)
        closed = self._schema.labels[0].closed_attributes
        words = value.split()
        if len(self._schema.labels) > 1 or len(closed) != 1 or not 0 < len(words) <= 3:
            return False
        ((name, attribute),) = closed.items()
        if attribute.takes(value) or any(map(self._has, words)):
            return False
        self._add([match["name"].strip(_DECORATION)], {name: value})
        return True

    def _is_row(self, body: str) -> bool:
        """Whether a line is ``food: positive``."""
        match = _NAMED.fullmatch(body)
        return (
            match is not None
            and self._has(match["name"].strip(_DECORATION))
            and bool(self._value(match["value"]))
        )

    def _numbered(self, body: str) -> list[str]:
        """The surfaces of ``Aspect 1: food``; none of other lines."""
        match = _NAMED.fullmatch(body)
        if match is None or _NUMBERED.search(match["name"]) is None:
            return []
        return self._surfaces_of(match["value"]) if self._label(match["name"]) else []

    def _is_headed(self, body: str) -> bool:
        """Whether a line was ``Positive: soup, fries`` or ``soup, fries: positive``."""
        head, colon, rest = body.replace("：", ":").partition(":")
        if not colon or not rest.strip():
            return False
        for phrase, listed in ((head, rest), (rest, head)):
            value = self._value(phrase)
            if value and phrase is head and is_nothing(listed):
                return True
            surfaces = self._surfaces_of(listed)
            if value and any(map(self._has, surfaces)):
                self._add(surfaces, value)
                return True
        return False

    def _surfaces_of(self, listed: str) -> list[str]:
        """Surfaces with commas between, or a word for and."""
        surfaces: list[str] = []
        for piece in _COMMAS.split(listed):
            surface = piece.strip(_DECORATION)
            parts = [part.strip(_DECORATION) for part in _AND.split(surface)]
            joined = len(parts) > 1 and not self._has(surface) and all(map(self._has, parts))
            surfaces += parts if joined else [surface]
        return [surface for surface in surfaces if surface]

    def _value(self, phrase: str) -> dict[str, Any]:
        """The attribute whose value a phrase is, where one label was asked for."""
        labels = self._schema.labels
        return value_named(phrase, labels[0]) if len(labels) == 1 else {}

    def _has(self, surface: str) -> bool:
        source = self._collector.source
        return source is not None and bool(surface) and source.has(surface)

    def _add(self, surfaces: Sequence[str], attributes: dict[str, Any]) -> None:
        for surface in surfaces:
            self._collector.add(self._schema.labels[0].code, surface, attributes)


def _resolved(resolve: Callable[[str], str | None], name: str) -> str | None:
    """What a word names, with the number behind it or without."""
    bare = _NUMBERED.sub("", name)
    return resolve(name) or (resolve(bare) if bare != name else None)


def _line(raw: str) -> _Line:
    bare = _unbulleted(raw)
    stripped = bare.strip()
    body = stripped.lstrip("#").replace("**", "").strip()
    is_bold = stripped.startswith("**") and stripped.endswith(("**", "**:", "**："))
    marked = is_bold or stripped.startswith("#") or body.endswith((":", "："))
    indent = len(raw) - len(raw.lstrip())
    return _Line(raw, body, indent, bare != raw, marked)


def _unbulleted(raw: str) -> str:
    return BULLET.sub("", raw)


def _blocks(kinds: str) -> list[tuple[int, str]]:
    """Where the blocks between blank lines begin, and their kinds of lines."""
    return [(match.start(), match[0]) for match in re.finditer(r"[^-]+", kinds)]


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
    # A text may have the word for a value, too.
    closed = label.closed_attributes.values()
    plain = [cell for cell in known if not any(own.takes(cell) for own in closed)]
    known = plain or known
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
    closed = label.closed_attributes.values()
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
    if isinstance(value, str):
        closed = label.closed_attributes.items()
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
