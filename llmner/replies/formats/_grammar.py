"""Pieces that grammars of several formats are made of, in llguidance's Lark dialect. Text only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

__all__ = ["alternatives", "json_character", "mention_terminal", "quoted"]


def quoted(text: str) -> str:
    """A text as a grammar's terminal."""
    return json.dumps(text, ensure_ascii=False)


def alternatives(texts: Iterable[str]) -> str:
    """One of several texts."""
    return " | ".join(map(quoted, texts))


def json_character(char: str) -> str:
    """A character as it stands in a JSON string."""
    return json.dumps(char, ensure_ascii=False)[1:-1]


def mention_terminal(text: str, escape: Callable[[str], str]) -> str:
    """The terminal MENTION: a stretch of the text that is not empty and has no space at its edges.

    Args:
        text: The text.
        escape: How the format writes a character of it.
    """
    chunks = json.dumps([escape(char) for char in text], ensure_ascii=False)
    stretch = f'STRETCH: %regex {{"substring_chunks": {chunks}}}'
    return f"{stretch}\nMENTION: STRETCH & /[^ ]([^\\n]*[^ ])?/\n"
