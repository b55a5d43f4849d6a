"""Parts of grammars that several formats share, in llguidance's dialect of Lark."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

__all__ = ["alternatives", "json_character", "mention_terminal", "quoted"]


def quoted(text: str) -> str:
    """A text as a terminal of a grammar."""
    return json.dumps(text, ensure_ascii=False)


def alternatives(texts: Iterable[str]) -> str:
    """One of several texts."""
    return " | ".join(map(quoted, texts))


def json_character(char: str) -> str:
    """A character as it is written in a JSON string."""
    return json.dumps(char, ensure_ascii=False)[1:-1]


def mention_terminal(text: str, escape: Callable[[str], str]) -> str:
    """The terminal ``MENTION``: a part of the text, not empty, without a space at either end.

    Args:
        text: The text.
        escape: Writes a character of the text as the format does.
    """
    chunks = json.dumps([escape(char) for char in text], ensure_ascii=False)
    stretch = f'STRETCH: %regex {{"substring_chunks": {chunks}}}'
    return f"{stretch}\nMENTION: STRETCH & /[^ ]([^\\n]*[^ ])?/\n"
