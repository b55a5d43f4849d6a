"""Parts of grammars that several formats share, in llguidance's dialect of Lark."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

__all__ = ["alternatives", "json_character", "mention_terminal", "ordered_rules", "quoted"]


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


def ordered_rules(rules: Sequence[str], separator: str) -> list[str]:
    """Rules for a list in which each item comes once at most, in order.

    Args:
        rules: The right side of the rule of each item.
        separator: What stands between two items, as a terminal.

    Returns:
        Rules, of which ``from_0`` is the whole list.
    """
    lines = []
    for start in range(len(rules)):
        rest = f" ({separator} from_{start + 1})?" if start + 1 < len(rules) else ""
        later = f" | from_{start + 1}" if start + 1 < len(rules) else ""
        lines.append(f"from_{start}: item_{start}{rest}{later}")
    lines += [f"item_{number}: {rule}" for number, rule in enumerate(rules)]
    return lines
