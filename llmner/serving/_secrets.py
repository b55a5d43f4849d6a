"""Keys: those that clients must show, and those that no log may show."""

from __future__ import annotations

import re
from collections.abc import Iterable

from llmner.errors import InputError

__all__ = ["checked_keys", "masked"]

_HIDDEN = "***"
# The shortest beginning or end of a key that is hidden: endpoints show keys as sk-a...wxyz.
_FRAGMENT = 4
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
    # What is marked as a key by how it begins, as those of OpenAI, Hugging Face, Groq and others are.
    (re.compile(r"\b(?:(?:sk|pk|rk|hf|gsk|xai|nvapi|ghp)[-_]|AIza)[A-Za-z0-9*._-]{4,}"), _HIDDEN),
    # What somebody masked in part already.
    (re.compile(r"[^\s'\"]*\*{2,}[^\s'\"]*"), _HIDDEN),
    # Long and random.
    (re.compile(r"\b(?=[A-Za-z_]*\d)(?=[\d_]*[A-Za-z])[A-Za-z0-9_]{24,}\b"), _HIDDEN),
)


def masked(message: str, secrets: Iterable[str] = ()) -> str:
    """A message in one line, without anything that looks like a key.

    Args:
        message: What an endpoint or an engine says.
        secrets: Keys that are known: their beginnings and ends, from four characters on, are hidden too.
    """
    told = " ".join(message.split())
    for secret in filter(None, secrets):
        told = told.replace(secret, _HIDDEN)
        for length in range(len(secret) - 1, _FRAGMENT - 1, -1):
            for part in (secret[:length], secret[-length:]):
                told = re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", _HIDDEN, told) if part in told else told
    for pattern, instead in _PATTERNS:
        told = pattern.sub(instead, told)
    return told


def checked_keys(keys: Iterable[str], where: str = "keys") -> tuple[str, ...]:
    """Keys that clients can show.

    Any character may stand in one that is no white space at its ends and no control character: what a header
    cannot carry no client can send. Those beyond ASCII are compared as UTF-8, and as Latin-1 where a client
    sends that.

    Args:
        keys: Them.
        where: Where they were given, for errors.

    Raises:
        InputError: One is empty, or cannot stand in a header. The message says which by its number, never by
            itself.
    """
    told = tuple(keys)
    for number, key in enumerate(told, 1):
        which = f"{where}: key {number} of {len(told)}"
        if not key.strip():
            raise InputError(f"{which} is empty", hint="write a key there, or nothing at all")
        if key != key.strip():
            raise InputError(f"{which} has white space around it", hint="take it off")
        if not key.isprintable():
            raise InputError(
                f"{which} holds a character that no header can carry", hint="use letters, digits and -._~+/="
            )
    return told
