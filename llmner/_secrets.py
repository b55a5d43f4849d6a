"""Hiding API keys in messages and logs."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["masked"]

_HIDDEN = "***"
# Endpoints quote keys as sk-a...wxyz, so beginnings and ends of keys are hidden too. This is the
# shortest, in characters.
_FRAGMENT = 4
# Local servers are given these in place of a key. Hiding them would only garble messages.
_PLACEHOLDERS = ("none", "empty", "dummy", "test")
# A word that somebody already masked in part with stars. The pattern is anchored at the beginning
# of the word, so it takes linear time.
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
    # Prefixes that OpenAI, Hugging Face, Groq and others give their keys.
    (re.compile(r"\b(?:(?:sk|pk|rk|hf|gsk|xai|nvapi|ghp)[-_]|AIza)[A-Za-z0-9*._-]{4,}"), _HIDDEN),
    # Any long word of letters and digits.
    (re.compile(r"\b(?=[A-Za-z_]*\d)(?=[\d_]*[A-Za-z])[A-Za-z0-9_]{24,}\b"), _HIDDEN),
)


def masked(message: str, secrets: Iterable[str] = ()) -> str:
    """A message in one line, with whatever looks like a key hidden. O(characters).

    Args:
        message: A message of an endpoint or an engine.
        secrets: Keys in use. Their beginnings and ends of four characters or more are hidden too.

    >>> masked("Incorrect API key provided: sk-abcdefgh", ["sk-abcdefgh"])
    'Incorrect API key provided: ***'
    """
    # This comes first: later steps add stars of their own.
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
