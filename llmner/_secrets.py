"""Keys that no message and no log may show, whoever quotes them.

It knows no engine and no server: it is given a text, and the keys in use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["masked"]

_HIDDEN = "***"
# The shortest beginning or end of a key that is hidden: endpoints show keys as sk-a...wxyz.
_FRAGMENT = 4
# What local servers are given in place of a key: words that say more than they hide.
_PLACEHOLDERS = ("none", "empty", "dummy", "test")
# What somebody masked in part already; from its beginning, so that none is looked at twice.
_PARTLY_MASKED = re.compile(r"(?<![^\s'\"])[^\s'\"*]*+(?:\*(?!\*)[^\s'\"*]*+)*+\*{2,}[^\s'\"]*")
_PATTERNS = (
    # https://user:password@host
    (re.compile(r"//[^/\s@]+@"), f"//{_HIDDEN}@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s,;'\"]+"), rf"\1 {_HIDDEN}"),
    # "Incorrect API key provided: sk-abc", "api_key='abc'", "?token=abc"
    (
        re.compile(
            r"(?i)((?:\bkey|api[-_ ]?key|token|secret|password|authorization)['\"]?(?: provided)?"
            r"\s*[:=]\s*['\"]?)[^\s,;&'\"()]+"
        ),
        rf"\1{_HIDDEN}",
    ),
    # What is marked as a key by how it begins, as those of OpenAI, Hugging Face, Groq and others
    # are.
    (re.compile(r"\b(?:(?:sk|pk|rk|hf|gsk|xai|nvapi|ghp)[-_]|AIza)[A-Za-z0-9*._-]{4,}"), _HIDDEN),
    # Long and random.
    (re.compile(r"\b(?=[A-Za-z_]*\d)(?=[\d_]*[A-Za-z])[A-Za-z0-9_]{24,}\b"), _HIDDEN),
)


def masked(message: str, secrets: Iterable[str] = ()) -> str:
    """A message in one line, without anything that looks like a key. Linear in the message.

    Args:
        message: What an endpoint or an engine says.
        secrets: Keys that are known: their beginnings and ends, from four characters on, are hidden
            too.

    >>> masked("Incorrect API key provided: sk-abcdefgh", ["sk-abcdefgh"])
    'Incorrect API key provided: ***'
    """
    # First, while no other stars are there than its own.
    text = _PARTLY_MASKED.sub(_HIDDEN, " ".join(message.split()))
    for secret in secrets:
        if len(secret) < _FRAGMENT or secret.lower() in _PLACEHOLDERS:
            continue
        text = text.replace(secret, _HIDDEN)
        for length in range(len(secret) - 1, _FRAGMENT - 1, -1):
            for part in (secret[:length], secret[-length:]):
                text = (
                    re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", _HIDDEN, text)
                    if part in text
                    else text
                )
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text
