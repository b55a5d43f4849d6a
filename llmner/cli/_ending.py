"""How a command ends: an error becomes one line on standard error and an exit code.

Besides the codes of ``llmner.cli``: 130 for an interrupt, 141 if the reader of the output is gone.
"""

from __future__ import annotations

import functools
import io
import math
import os
import select
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from threading import RLock
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import typer

from llmner._shown import shortened, visible
from llmner.cli._help import CommandGroup
from llmner.errors import InputError, LlmnerError

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = [
    "CLOSED_PIPE",
    "DEBUG",
    "INTERRUPTED",
    "Root",
    "above_bar",
    "fill_standard_files",
    "guarded",
    "note",
    "on_screen",
]

DEBUG = "LLMNER_DEBUG"
"""An environment variable: if it is set, unexpected errors show their tracebacks."""
INTERRUPTED = 130
"""The exit code that shells give a program ended by Ctrl-C: 128 plus the signal's number."""
CLOSED_PIPE = 141
"""The exit code that shells give a program ended by SIGPIPE: 128 plus the signal's number."""

_LONGEST_NOTE = 1900
_F = TypeVar("_F", bound=Callable[..., Any])
# typer may bundle its own click, so the class is not imported from click.
_UsageError: Any = typer.BadParameter.__mro__[1]


class _Screen:
    """What is on the terminal besides lines: at most one progress bar."""

    bar: Progress | None = None
    # Engines report from threads of their own, too.
    lock = RLock()


def on_screen(bar: Progress | None) -> None:
    """Put a progress bar on the screen in place of the one that is there; ``None`` for none."""
    with _Screen.lock:
        if _Screen.bar is not None:
            _Screen.bar.stop()
        _Screen.bar = bar
        if bar is not None:
            bar.start()


@contextmanager
def above_bar() -> Iterator[None]:
    """Take the progress bar off the screen while lines are printed, and put it back below them."""
    # transformers shows bars of its own while it trains.
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
    with _Screen.lock:
        bar = _Screen.bar
        on_screen(None)
        try:
            with nullcontext() if tqdm is None else tqdm.external_write_mode(sys.stderr):
                yield
        finally:
            on_screen(bar)


def note(message: str) -> None:
    """Print one line on standard error, without control characters, shortened if very long."""
    line = shortened(visible(shortened(message, _LONGEST_NOTE)), _LONGEST_NOTE)
    with above_bar():
        typer.echo(line, err=True)


def guarded(command: _F) -> _F:
    """A command that turns its exceptions into one line and an exit code."""

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
            raise typer.Exit(INTERRUPTED) from None
        except OSError as error:
            if isinstance(error, BrokenPipeError) and _output_closed():
                raise
            raise typer.Exit(_report_failure(error)) from None
        except MemoryError as error:
            # numpy's message says how much memory was needed.
            note(f"error: there is not enough memory. {error}".rstrip(". "))
            raise typer.Exit(1) from None
        except Exception as error:
            raise typer.Exit(_report_unexpected(error)) from None

    return wrapper  # type: ignore[return-value]


def dashed(name: str) -> str:
    """An option's name as it is written on the command line.

    >>> dashed("max_new_tokens")
    '--max-new-tokens'
    """
    # It is given once for each field.
    name = "request_field" if name == "request_fields" else name
    return f"--{name.replace('_', '-')}"


def _check_finite(options: Mapping[str, Any]) -> None:
    """Refuse ``nan`` and ``inf`` as values of options; bounds do not catch ``nan``.

    Raises:
        InputError: An option has such a value.
    """
    for name, value in options.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{dashed(name)} must be a finite number, got {value}")


def _report_failure(error: OSError) -> int:
    """Report an error of the system, such as a full disk, in the system's own words."""
    note(f"error: {error}")
    try:
        sys.stdout.flush()
    except (OSError, AttributeError):
        # Otherwise Python would try to write the buffered output at its exit, and fail again.
        _discard(sys.stdout)
    return 1


def _report_unexpected(error: Exception) -> int:
    """Report an unexpected exception in one line that says how to see its traceback."""
    if os.environ.get(DEBUG):
        raise error
    description = f"{type(error).__name__}: {error}".rstrip(": ")
    note(
        f"error: unexpected {shortened(description, 600)}; "
        f"this is a bug in llmner, set {DEBUG}=1 to see the traceback"
    )
    return 1


class Root(CommandGroup):
    """The ``llmner`` command, which also reports errors that happen outside its subcommands."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line and exit with its exit code."""
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
        """Parse the command line."""
        with _quiet_on_closed_pipe():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        with _quiet_on_closed_pipe():
            return super().invoke(ctx)


def _report_usage(error: Any) -> int:
    """Print a usage error line by line, with control characters escaped; return its exit code."""
    lines = io.StringIO()
    error.show(lines)
    for line in lines.getvalue().split("\n")[:-1]:
        note(line)
    return int(error.exit_code)


@contextmanager
def _quiet_on_closed_pipe() -> Iterator[None]:
    """Exit quietly if the reader of the output is gone, as in ``llmner ... | head``."""
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        for stream in (sys.stdout, sys.stderr):
            _discard(stream)
        raise typer.Exit(CLOSED_PIPE) from None


def _output_closed() -> bool:
    """Whether standard output or error is closed at the other end, and not some other pipe."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            poll = select.poll()
            poll.register(stream.fileno(), 0)
            if any(event & select.POLLERR for _, event in poll.poll(0)):
                return True
    return False


def _discard(stream: TextIO | None) -> None:
    """Redirect a stream to the null device, with what it still has in its buffer."""
    with suppress(OSError, ValueError, AttributeError):
        assert stream is not None
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def fill_standard_files() -> None:
    """Open standard input, output and error as the null device if the caller closed them.

    Otherwise the next file to be opened would become standard output, and receive what is printed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
