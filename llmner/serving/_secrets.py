"""Checks the keys that clients must show."""

from __future__ import annotations

from collections.abc import Iterable

from llmner.errors import InputError

__all__ = ["checked_keys"]


def checked_keys(keys: Iterable[str], where: str = "keys") -> tuple[str, ...]:
    """Check that clients can show these keys in a header.

    A key may hold any character but control characters, and no white space at its ends. Characters
    beyond ASCII are compared as UTF-8, and as Latin-1, since clients send both.

    >>> checked_keys(["one", "하나"])
    ('one', '하나')

    Args:
        keys: The keys.
        where: Where they come from, for errors.

    Raises:
        InputError: ``keys`` is a single string, or a key is empty or cannot stand in a header. The
            message says which one by its number, and never quotes it.
    """
    if isinstance(keys, str):
        raise InputError(
            f"{where}: expected several keys, got one string, whose letters would each be a key",
            hint="write (key,)",
        )
    keys = tuple(keys)
    for number, key in enumerate(keys, 1):
        which = f"{where}: key {number} of {len(keys)}"
        if not key.strip():
            raise InputError(f"{which} is empty", hint="write a key there, or nothing at all")
        if key != key.strip():
            raise InputError(f"{which} has white space around it", hint="remove it")
        if not key.isprintable():
            raise InputError(
                f"{which} contains a character that an HTTP header cannot carry",
                hint="use letters, digits and -._~+/=",
            )
    return keys
