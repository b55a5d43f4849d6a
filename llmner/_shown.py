"""Text fit to be shown to people: nothing in it steers a terminal, and it is no longer than need
be.

Whatever people read goes through here once: messages of errors, notes on standard error, what rich
prints. Data does not: JSON has its own escapes (:func:`llmner.files.dump_json`).
"""

from __future__ import annotations

import re

__all__ = ["STEERING", "shortened", "visible"]

STEERING = "\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""What JSON may hold as it is and a terminal obeys, for a class of a regular expression: DEL, C1
controls, and those that turn the direction of writing.
"""

# Beside these: C0 controls, other line ends, what has no width and hides, half surrogate pairs.
# Joiners stay: emoji and several scripts need them.
_UNFIT = re.compile(
    f"[\x00-\x1f{STEERING}\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str, *, lines: bool = False) -> str:
    r"""The text with its control characters as Python escapes them: ``\x1b``, ``\u202e``, ``\n``.

    Idempotent. What it gives can be written as UTF-8.

    Args:
        text: Any text.
        lines: Whether line breaks may stay.
    """
    return _UNFIT.sub(
        lambda match: "\n" if lines and match[0] == "\n" else ascii(match[0])[1:-1], text
    )


def shortened(text: str, most: int) -> str:
    """At most so many characters of a text: its beginning and its end, which tell more than its
    middle.
    """
    if len(text) <= most:
        return text
    tail = most // 3
    return f"{text[: most - tail - 1]}…{text[len(text) - tail :]}"
