"""Keys that clients must show."""

from __future__ import annotations

from collections.abc import Iterable

from llmner.errors import InputError

__all__ = ["checked_keys"]


def checked_keys(keys: Iterable[str], where: str = "keys") -> tuple[str, ...]:
    """Keys that clients can show.

    Any character may stand in one that is no white space at its ends and no control character: what
    a header cannot carry no client can send. Those beyond ASCII are compared as UTF-8, and as
    Latin-1 where a client sends that.

    Args:
        keys: Them.
        where: Where they were given, for errors.

    Raises:
        InputError: They are one string; or one is empty, or cannot stand in a header. The message
            says which by its number, never by itself.
    """
    if isinstance(keys, str):
        raise InputError(
            f"{where}: one string, whose letters would each be a key", hint="write (key,)"
        )
    told = tuple(keys)
    for number, key in enumerate(told, 1):
        which = f"{where}: key {number} of {len(told)}"
        if not key.strip():
            raise InputError(f"{which} is empty", hint="write a key there, or nothing at all")
        if key != key.strip():
            raise InputError(f"{which} has white space around it", hint="take it off")
        if not key.isprintable():
            raise InputError(
                f"{which} holds a character that no header can carry",
                hint="use letters, digits and -._~+/=",
            )
    return told
