"""Catching unexpected exceptions where they concern a single row or a single file.

This is the only place in the package that catches every exception; ``docs/decisions.md`` says why.
The caller decides what to do about it: write a row with ``error``, or name the file in one line.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from llmner._shown import visible
from llmner.errors import MissingExtraError, WorkLimitError

__all__ = ["Mishap", "attempt", "one_line"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

log = logging.getLogger("llmner")

# These concern every row, not one: no memory, a missing optional part, a caller that stopped
# waiting.
_NOT_LOCAL = (MemoryError, MissingExtraError, CancelledError, WorkLimitError)
# Longer texts are cut before they are processed, in characters.
_MAX_LENGTH = 1 << 16


def one_line(text: object, longest: int = 300) -> str:
    """Somebody else's text made fit for an error message: one line, no control characters.

    Args:
        text: The text, or an object whose ``str`` is used.
        longest: The longest result, in characters.

    >>> one_line("out of\\n memory", longest=8)
    'out of …'
    """
    line = visible(" ".join(str(text)[:_MAX_LENGTH].split()))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


@dataclass(frozen=True, slots=True)
class Mishap:
    """An exception in place of a result.

    Attributes:
        error: The exception.

    >>> str(Mishap(ValueError("no such tag")))
    'ValueError: no such tag'
    """

    error: Exception

    @property
    def message(self) -> str:
        """The exception's message in one line, or its type where it has no message."""
        text = attempt(str, self.error)
        return (one_line(text) if isinstance(text, str) else "") or type(self.error).__name__

    def __str__(self) -> str:
        """The exception's type and message in one line."""
        kind, message = type(self.error).__name__, self.message
        return message if message == kind else f"{kind}: {message}"


def _log_traceback(error: BaseException) -> None:
    """Log the traceback for debugging, without the message: that may quote a text or a key."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.debug("%s caught\n%s", type(error).__name__, frames)


def attempt(work: Callable[_P, _T], /, *arguments: _P.args, **options: _P.kwargs) -> _T | Mishap:
    """Call ``work``; give its result, or a :class:`Mishap` with the exception it raised.

    Exceptions that concern more than this call are raised as usual: an interrupt, an exit, no
    memory, a missing optional part, a cancelled request, a used-up budget. The traceback of what
    is caught is logged to ``llmner`` at debug level.

    Args:
        work: A function whose failure concerns one row or one file.
        *arguments: Its positional arguments.
        **options: Its keyword arguments.

    >>> attempt(int, "3")
    3
    >>> attempt(int, "three").message
    "invalid literal for int() with base 10: 'three'"
    """
    try:
        return work(*arguments, **options)
    except _NOT_LOCAL:
        raise
    except Exception as error:
        _log_traceback(error)
        return Mishap(error)
    except BaseException as error:
        # Panics of libraries written in Rust do not derive from Exception.
        if type(error).__name__ != "PanicException":
            raise
        _log_traceback(error)
        return Mishap(RuntimeError(str(error)))
