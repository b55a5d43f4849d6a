"""How a command ends: what went wrong as one line on standard error, and an exit code.

Beside the codes of ``llmner.cli``: 130 where it was interrupted, 141 where nobody reads its output
any more.
"""

from __future__ import annotations

import functools
import io
import math
import os
import select
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TextIO, TypeVar

import typer
from typer.core import TyperGroup

from llmner._shown import shortened, visible
from llmner.errors import InputError, LlmnerError

__all__ = ["CLOSED_PIPE", "DEBUG", "Root", "fill_standard_files", "guarded", "note"]

DEBUG = "LLMNER_DEBUG"
"""Set to anything, errors that nobody foresaw show where they come from."""
CLOSED_PIPE = 141
"""What a shell says of a program that SIGPIPE ended: 128 and its number."""

_LONGEST_NOTE = 1900
_F = TypeVar("_F", bound=Callable[..., Any])
# typer may bring a click of its own.
_UsageError: Any = typer.BadParameter.__mro__[1]


def note(message: str) -> None:
    """One line for people, on standard error, without control characters and not too long to
    read.
    """
    typer.echo(shortened(visible(shortened(message, _LONGEST_NOTE)), _LONGEST_NOTE), err=True)


def guarded(command: _F) -> _F:
    """Turn what a command raises into one line and an exit code."""

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            _check_finite(kwargs)
            return command(*args, **kwargs)
        except (typer.Exit, typer.Abort, _UsageError):
            raise
        except LlmnerError as error:
            note(f"error: {error}")
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt as interrupt:
            note(str(interrupt) or "interrupted")
            raise typer.Exit(130) from None
        except OSError as error:
            if isinstance(error, BrokenPipeError) and _output_closed():
                raise
            raise typer.Exit(_report_failure(error)) from None
        except MemoryError as error:
            # What numpy says of it tells how much was asked for.
            note(f"error: there is not enough memory. {error}".rstrip(". "))
            raise typer.Exit(1) from None
        except Exception as error:
            raise typer.Exit(_report_unexpected(error)) from None

    return wrapper  # type: ignore[return-value]


def dashed(name: str) -> str:
    """An option as the command line has it.

    >>> dashed("max_new_tokens")
    '--max-new-tokens'
    """
    return f"--{name.replace('_', '-')}"


def _check_finite(options: Mapping[str, Any]) -> None:
    """Refuse options that are ``nan`` or ``inf``: the first is within any bounds, the second beyond
    all sense.

    Raises:
        InputError: There is one.
    """
    for name, value in options.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{dashed(name)} is {value}", hint="expected a finite number")


def _report_failure(error: OSError) -> int:
    """A full disk, a file taken away: the machine's word is the best there is."""
    note(f"error: {error}")
    try:
        sys.stdout.flush()
    except (OSError, AttributeError):
        # What it still holds would fail again, and louder, when Python ends.
        _discard(sys.stdout)
    return 1


def _report_unexpected(error: Exception) -> int:
    """The last line of defence: a fault of ours is told in a line, too, with the way to its
    traceback.
    """
    if os.environ.get(DEBUG):
        raise error
    description = f"{type(error).__name__}: {error}".rstrip(": ")
    note(
        f"error: unexpected {shortened(description, 600)}; "
        f"this is a bug in llmner, set {DEBUG}=1 to see the traceback"
    )
    return 1


class Root(TyperGroup):
    """The ``llmner`` command: wrong usage and whatever else happens outside of a command ends well,
    too.
    """

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line and leave with its exit code."""
        run = functools.partial(
            super().main, args, prog_name, complete_var, False, windows_expand_args, **extra
        )
        if not standalone_mode:
            return run()
        try:
            code = run()
        except _UsageError as error:
            code = _report_usage(error)
        except typer.Abort:
            note("aborted")
            code = 1
        except OSError as error:
            code = _report_failure(error)
        except Exception as error:
            code = _report_unexpected(error)
        sys.exit(code if isinstance(code, int) else 0)

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Read the options of the command line."""
        with _quiet_on_closed_pipe():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        with _quiet_on_closed_pipe():
            return super().invoke(ctx)


def _report_usage(error: Any) -> int:
    """Print what is wrong with the options, which may hold anything, and give its exit code."""
    lines = io.StringIO()
    error.show(lines)
    for line in lines.getvalue().split("\n")[:-1]:
        note(line)
    return int(error.exit_code)


@contextmanager
def _quiet_on_closed_pipe() -> Iterator[None]:
    """Where whoever reads the output is gone (``llmner ... | head``), end as others do: at once,
    quietly.
    """
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        for stream in (sys.stdout, sys.stderr):
            _discard(stream)
        raise typer.Exit(CLOSED_PIPE) from None


def _output_closed() -> bool:
    """Whether it was our output that broke, and not a connection or a pipe to somebody else."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            poll = select.poll()
            poll.register(stream.fileno(), 0)
            if any(event & select.POLLERR for _, event in poll.poll(0)):
                return True
    return False


def _discard(stream: TextIO | None) -> None:
    """Let what a stream still holds, and all that is written to it, go nowhere."""
    with suppress(OSError, ValueError, AttributeError):
        assert stream is not None
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def fill_standard_files() -> None:
    """Open what the caller has closed of standard input, output and error, as nothing.

    Else the next file to be opened would be standard output, and be given what is printed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
