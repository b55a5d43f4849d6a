"""Replies in XML: records of entities, or the text with elements around its names."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

from llmner.replies._interpret import LABEL_KEYS, TEXT_KEYS, first_of, likeliest, normalize_key
from llmner.replies._mentions import MentionCollector, is_label
from llmner.replies._source import fold, has_words_between
from llmner.replies._types import Reading, Unwrapped
from llmner.schema import LabelSchema

__all__ = ["read_xml"]

_TAG = re.compile(
    r"<(?P<close>/?)(?P<name>[^\W\d][\w:.-]{0,60})"
    r"(?P<attributes>(?:\s+[\w:.-]{1,60}\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s<>\"'/]+))*+)\s*(?P<empty>/?)>"
)
_ATTRIBUTE = re.compile(
    r"(?P<key>[\w:.-]+)\s*=\s*(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s]+))"
)
_ASSIGNED = re.compile(r"<(parameter|function|param|arg)=[\"']?([^<>\s\"']{1,60})[\"']?>")
# Elements whose name says nothing, and whose attribute ``name`` is the label.
_NAMED = ("parameter", "param", "arg", "argument", "field", "group", "category")
_MORE_LABEL_KEYS = ("entity", "ent", "name")
_MAX_DEPTH = 50


@dataclass(slots=True)
class _Element:
    """An element: its name, attributes, where its text begins in the plain text and among its
    pieces, the text once it is closed, and its children.
    """

    name: str
    attributes: dict[str, str]
    start: int
    first: int
    text: str = ""
    children: list[_Element] = field(default_factory=list)
    mentions: bool = False


@dataclass(slots=True)
class _Name:
    label: str
    surface: str
    start: int | None
    attributes: dict[str, str] = field(default_factory=dict)


def read_xml(unwrapped: Unwrapped) -> Reading | None:
    """Read XML with labels as element names or in attributes; ``None`` for any other reply."""
    for part in map(_plain_tags, unwrapped.parts):
        if ("</" not in part and "/>" not in part) or "<td" in part:
            continue
        unwrapped.budget.spend(1 + len(part) // 4)
        names: list[_Name] = []
        plain = _parse(part, names, unwrapped)
        if not names:
            continue
        collector = MentionCollector(unwrapped.schema, unwrapped.budget, unwrapped.source)
        inline = _is_running_text(plain, names, unwrapped)
        for name in names:
            start = name.start if inline else None
            collector.add(name.label, name.surface, dict(name.attributes), start)
        if inline:
            collector.repairs["other-markup"] = None
            return collector.reading("tagged", text=plain)
        collector.repairs["xml"] = None
        return collector.reading("json-list")
    return None


def _plain_tags(part: str) -> str:
    """XML that was escaped, and tags like <parameter=PS>, as XML is written."""
    if "&lt;" in part and "</" not in part:
        part = html.unescape(part)
    return _ASSIGNED.sub(r'<\1 name="\2">', part) if "=" in part else part


def _parse(part: str, names: list[_Name], unwrapped: Unwrapped) -> str:
    """Collect the names of the elements; returns the text without tags."""
    root = _Element("", {}, 0, 0)
    stack = [root]
    plain: list[str] = []
    length = position = 0

    def put(text: str) -> None:
        nonlocal length
        text = html.unescape(text)
        plain.append(text)
        length += len(text)

    def close() -> None:
        stack[-1].text = "".join(plain[stack[-1].first :])
        _close(stack, names, unwrapped)

    for match in _TAG.finditer(part):
        put(part[position : match.start()])
        position = match.end()
        name = match["name"].rpartition(":")[2]
        if match["close"]:
            if any(element.name == name for element in stack[1:]):
                while stack[-1].name != name:
                    close()
                close()
            continue
        attributes = {
            normalize_key(found["key"]).removeprefix("data_"): html.unescape(
                found["double"] or found["single"] or found["bare"] or ""
            )
            for found in _ATTRIBUTE.finditer(match["attributes"])
        }
        if len(stack) < _MAX_DEPTH:
            stack.append(_Element(name, attributes, length, len(plain)))
            if match["empty"]:
                close()
    put(part[position:])
    while len(stack) > 1:
        close()
    return "".join(plain)


def _close(stack: list[_Element], names: list[_Name], unwrapped: Unwrapped) -> None:
    """Take the innermost element off the stack, and add what it names."""
    schema = unwrapped.schema
    element = stack.pop()
    stack[-1].children.append(element)
    stack[-1].mentions = stack[-1].mentions or element.mentions
    if element.mentions:
        return
    label = _label_among(element.attributes, schema, named=element.name in _NAMED)
    others = {key: value for key, value in element.attributes.items() if value != label}
    surface = first_of(others, TEXT_KEYS)
    start: int | None = None
    children = {normalize_key(child.name): child.text.strip() for child in element.children}
    label = label or _label_among(children, schema)
    surface = surface or first_of(children, TEXT_KEYS)
    if not label and is_label(element.name, schema):
        label = element.name
        if not surface and element.children:
            names += [
                _Name(label, child.text.strip(), None)
                for child in element.children
                if child.text.strip()
            ]
            element.mentions = stack[-1].mentions = True
            return
    if label and not surface and not element.children:
        surface = element.text.strip()
        start = element.start + len(element.text) - len(element.text.lstrip())
    if label and surface:
        said = {**children, **others} if schema is not None else {}
        attributes = {
            key: value
            for key, value in said.items()
            if schema is not None and schema.names_attribute(key)
        }
        names.append(_Name(label, surface, start, attributes))
        element.mentions = stack[-1].mentions = True


def _label_among(values: dict[str, str], schema: LabelSchema | None, *, named: bool = False) -> str:
    """The value of the likeliest key for labels that has a label.

    Args:
        values: Attributes or children of an element.
        schema: The labels.
        named: Whether the attribute ``name`` may be the label: <parameter name="PS">.
    """
    more = _MORE_LABEL_KEYS if named else _MORE_LABEL_KEYS[:-1]
    keys = [*likeliest(values, LABEL_KEYS), *(key for key in more if key in values)]
    return next((values[key] for key in keys if is_label(values[key], schema)), "")


def _is_running_text(plain: str, names: list[_Name], unwrapped: Unwrapped) -> bool:
    """Whether the elements stand in the text itself, with words between them."""
    if any(name.start is None for name in names):
        return False
    if unwrapped.source is not None:
        return unwrapped.source.folded in fold(plain)
    return has_words_between(plain, ((name.start or 0, name.surface) for name in names))
