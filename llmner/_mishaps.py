"""What goes wrong in a way that nobody foresaw, caught where it concerns one row or one file only.

This is the one place of the package that catches every exception; ``docs/decisions.md`` says why
there is one. What becomes of a mishap, a row with ``error`` or one line that names a folder, is its
caller's.
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

# What concerns every row: no memory, a part that is not installed, a caller who does not wait any
# more.
_NOT_LOCAL = (MemoryError, MissingExtraError, CancelledError, WorkLimitError)
# Longer texts are cut before anything is looked for in them.
_MAX_LENGTH = 1 << 16


def one_line(text: object, longest: int = 300) -> str:
    """A text of somebody else's as part of an error: one line, nothing in it that a terminal acts
    on.

    Args:
        text: The text.
        longest: Characters of it at most.
    """
    line = visible(" ".join(str(text)[:_MAX_LENGTH].split()))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


@dataclass(frozen=True, slots=True)
class Mishap:
    """An exception instead of a result.

    Attributes:
        error: The exception.
    """

    error: Exception

    @property
    def message(self) -> str:
        """What it says, in one line; its type where it says nothing."""
        text = attempt(str, self.error)
        return (one_line(text) if isinstance(text, str) else "") or type(self.error).__name__

    def __str__(self) -> str:
        """Its type and what it says, in one line."""
        kind, message = type(self.error).__name__, self.message
        return message if message == kind else f"{kind}: {message}"


def _log_traceback(error: BaseException) -> None:
    """Where it was, for debugging; not what it says, which may quote a text or a key."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.debug("%s caught\n%s", type(error).__name__, frames)


def attempt(work: Callable[_P, _T], /, *arguments: _P.args, **options: _P.kwargs) -> _T | Mishap:
    """The result of ``work``, or what it raised, whatever that is.

    What concerns everybody goes on up: an interrupt, an exit, no memory, a part that is not
    installed, a request that was given up. Where something went wrong is logged for debugging, as
    ``llmner``.

    Args:
        work: What concerns one row, or one file.
        *arguments: Its arguments.
        **options: Its options.
    """
    try:
        return work(*arguments, **options)
    except _NOT_LOCAL:
        raise
    except Exception as error:
        _log_traceback(error)
        return Mishap(error)
    except BaseException as error:
        # What a library in Rust stumbled over is none of Python's exceptions.
        if type(error).__name__ != "PanicException":
            raise
        _log_traceback(error)
        return Mishap(RuntimeError(str(error)))
