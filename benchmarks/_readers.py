"""What reading is compared with: a JSON parser, a plain reading of its value, a plain search.

This is what most people write first. It knows the two usual shapes, under the usual names of keys,
and the labels' codes, names and aliases in any case. ``json_repair`` is in the dependency group
``peers``; the package itself does not use it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any

from _cases import Row
from _peers import longest_first

from llmner.projection import project_reply
from llmner.replies import read_reply
from llmner.schema import LabelSchema
from llmner.spans import Mention, Span

__all__ = ["OURS", "Reader", "plain_mentions", "plainly", "readers"]

OURS = "llmner"
Reader = Callable[[Row], Collection[Span]]

TEXT_KEYS = (
    "text", "word", "span", "surface", "mention", "value", "extraction_text", "name", "entity",
)  # fmt: skip
LABEL_KEYS = (
    "label", "type", "entity_type", "category", "tag", "class", "extraction_class", "entity_group",
    "entity",
)  # fmt: skip


def plain_mentions(value: Any, schema: LabelSchema) -> list[Mention]:
    """The mentions of a JSON value.

    Objects of labels with surfaces, and objects with a text and a label, however deep they are.
    """
    codes = {word.casefold(): label.code for label in schema.labels for word in label.words if word}

    def code_of(label: Any) -> str | None:
        return codes.get(label.strip().casefold()) if isinstance(label, str) else None

    def walk(value: Any) -> Iterator[Mention]:
        if isinstance(value, list):
            for item in value:
                yield from walk(item)
        elif isinstance(value, dict):
            text = next((value[key] for key in TEXT_KEYS if isinstance(value.get(key), str)), None)
            label = next(filter(None, (code_of(value.get(key)) for key in LABEL_KEYS)), None)
            if text is not None and label is not None:
                yield Mention(label, text)
                return
            for key, item in value.items():
                # "name" may be another word for a label, but is more often a key for texts.
                code = None if key in TEXT_KEYS else code_of(key)
                if code is None:
                    yield from walk(item)
                    continue
                for surface in item if isinstance(item, list) else [item]:
                    if isinstance(surface, dict):
                        surface = next((surface[k] for k in TEXT_KEYS if k in surface), None)
                    if isinstance(surface, str):
                        yield Mention(code, surface)

    return list(walk(value))


def plainly(load: Callable[[str], Any]) -> Reader:
    """A reader of whatever ``load`` makes of a reply. Nothing is found where it raises."""

    def read(row: Row) -> set[Span]:
        try:
            mentions = plain_mentions(load(row.reply), row.schema)
        except (ValueError, RecursionError):
            return set()
        return longest_first(row.text, mentions)

    return read


def _ours(row: Row) -> Collection[Span]:
    return project_reply(row.text, row.reply, row.schema, row.format).spans


def _only_read(row: Row) -> set[Span]:
    read = read_reply(row.reply, row.schema, row.format, text=row.text)
    return longest_first(
        row.text, [Mention(row.schema.resolve(m.label) or m.label, m.text) for m in read.mentions]
    )


def readers() -> dict[str, Reader]:
    """The readers by name, ``json_repair`` among them if it is installed."""
    found = {OURS: _ours, "llmner's reading, longest first": _only_read}
    with suppress(ImportError):
        found["json_repair, plain"] = plainly(import_module("json_repair").loads)
    return {**found, "json.loads, plain": plainly(json.loads)}
