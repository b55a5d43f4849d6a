"""Text that is safe to show in a terminal, and not too long to read.

Everything people read goes through here once: error messages, notes on standard error, what rich
prints. Data does not: JSON has its own escapes (:func:`llmner.files.dump_json`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["STEERING", "expected_one_of", "shortened", "visible"]

STEERING = "\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""Characters that JSON allows unescaped and that control a terminal, for a regular expression's
``[...]``: DEL, C1 controls, and those that change the direction of writing.
"""

# In addition: C0 controls, other line ends, invisible characters without width, lone surrogates.
# Joiners are allowed: emoji and several scripts need them.
_UNFIT = re.compile(
    f"[\x00-\x1f{STEERING}\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str, *, lines: bool = False) -> str:
    r"""The text with its control characters as Python escapes them: ``\x1b``, ``\u202e``, ``\n``.

    The result can be encoded as UTF-8. Applying the function again changes nothing.

    Args:
        text: Any text.
        lines: Whether line breaks may stay.

    >>> print(visible("red: \x1b[31m"))
    red: \x1b[31m
    """
    return _UNFIT.sub(
        lambda match: "\n" if lines and match[0] == "\n" else ascii(match[0])[1:-1], text
    )


def shortened(text: str, most: int) -> str:
    """A text cut to ``most`` characters: its beginning, ``…``, and its end.

    >>> shortened("a very long message", 12)
    'a very …sage'
    """
    if len(text) <= most:
        return text
    tail = most // 3
    return f"{text[: most - tail - 1]}…{text[len(text) - tail :]}"


def expected_one_of(word: str, known: Sequence[str]) -> str:
    """The hint of an error about a word that is none of those known: the nearest, and all.

    >>> expected_one_of("opnai", ["transformers", "openai"])
    'did you mean openai? expected one of transformers, openai'
    >>> expected_one_of("x", ["transformers", "openai"])
    'expected one of transformers, openai'
    """
    from rapidfuzz import fuzz, process

    names = [name.casefold() for name in known]
    near = process.extractOne(word.casefold(), names, scorer=fuzz.ratio, score_cutoff=65)
    listed = f"expected one of {', '.join(known)}"
    return listed if near is None else f"did you mean {known[near[2]]}? {listed}"
