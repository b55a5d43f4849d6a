"""Reading and writing files as the rest expects it: lines with numbers, whole files or none.

Knows no format. Errors name the file and the line.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from llmner.errors import CorpusError, InputError

__all__ = [
    "check_output",
    "dump_json",
    "open_bytes",
    "open_lines",
    "read_jsonl",
    "regular_file",
    "told_of",
    "whole_file",
    "write_bytes",
]

STDIO = "-"
_BATCH_BYTES = 1 << 16


def dump_json(value: Any, *, indent: int | None = None) -> bytes:
    """JSON as UTF-8 without needless escapes; half surrogate pairs, which UTF-8 lacks, stay escaped."""
    return json.dumps(value, ensure_ascii=False, indent=indent).encode("utf-8", "backslashreplace")


@contextmanager
def regular_file(path: Path) -> Iterator[Path]:
    """A path that can be opened more than once: the path itself, or a temporary copy of a pipe.

    Formats are guessed by looking at a file before it is read; what was looked at in a pipe is gone.
    """
    try:
        special = str(path) == STDIO or (path.exists() and not path.is_file() and not path.is_dir())
    except OSError:
        special = False
    if not special:
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="llmner-") as copy, open_bytes(path) as stream:
        shutil.copyfileobj(stream, copy)
        copy.flush()
        yield Path(copy.name)


def told_of(error: InputError, real: Path, path: Path) -> InputError:
    """An error in a temporary copy (:func:`regular_file`), told of what it is a copy of."""
    if error.path != str(real) or real == path:
        return error
    return type(error)(error.problem, path=path, line=error.line, id=error.id, hint=error.hint)


def check_output(path: Path) -> None:
    """Make sure that a file can be written at ``path``.

    Raises:
        InputError: It is a folder, its folder does not exist, or it has no name a file can have.
    """
    try:
        if not path.name or path.is_dir():
            raise InputError("is a directory", path=path, hint="give a file to write")
        if not path.parent.is_dir():
            raise InputError("its folder does not exist", path=path, hint="make it first")
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", path=path) from None


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """A file, or standard input where it is called ``-``.

    Raises:
        CorpusError: Missing, a directory, or unreadable.
    """
    if str(path) == STDIO:
        yield sys.stdin.buffer
        return
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise CorpusError("no such file", path=path) from None
    except IsADirectoryError:
        raise CorpusError("is a directory", path=path, hint="give a file") from None
    except OSError as error:
        raise CorpusError(f"cannot be read ({error.strerror})", path=path) from None
    with stream:
        yield stream


def open_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""(line number from 1, line without its end) of a UTF-8 file, streamed.

    Only ``\n`` ends a line (with a ``\r`` before it, if there is one): texts may hold U+2028, U+0085
    and the like. A byte-order mark is dropped.

    Raises:
        CorpusError: Missing, a directory, unreadable, or not UTF-8.
    """
    number = 0
    with open_bytes(path) as stream:
        # Decoded a few thousand lines at a time: a line at a time takes twice as long.
        while batch := stream.readlines(_BATCH_BYTES):
            if number == 0 and batch[0].startswith(b"\xef\xbb\xbf"):
                batch[0] = batch[0][3:]
            try:
                text = b"".join(batch).decode("utf-8")
            except UnicodeDecodeError:
                yield from _until_broken(path, number, batch)
                return
            if batch[-1].endswith(b"\n"):
                text = text[:-1]
            returns = "\r" in text
            for line in text.split("\n"):
                number += 1
                yield number, line.removesuffix("\r") if returns else line


def _until_broken(path: Path, number: int, batch: list[bytes]) -> Iterator[tuple[int, str]]:
    """The lines of a batch up to the one that is not UTF-8, and its error."""
    for raw in batch:
        number += 1
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"not UTF-8 (byte {error.start} of the line is 0x{raw[error.start]:02x})",
                path=path,
                line=number,
                hint="save the file as UTF-8, e.g. iconv -f cp949 -t utf-8",
            ) from None
        yield number, line.removesuffix("\n").removesuffix("\r")


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each row of a JSON Lines file; blank lines are skipped.

    Raises:
        CorpusError: As :func:`open_lines`; a line that is not one JSON object.
    """
    for number, line in open_lines(path):
        if not line.strip():
            continue
        yield number, parse_row(path, number, line)


def parse_row(path: Path, number: int, line: str) -> dict[str, Any]:
    """One row of a JSON Lines file.

    Raises:
        CorpusError: The line is not one JSON object.
    """
    try:
        row = json.loads(line)
    except ValueError as error:
        problem = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise CorpusError(
            f"not JSON ({problem})", path=path, line=number, hint="expected one JSON object a line"
        ) from None
    except RecursionError:
        raise CorpusError("JSON nested too deeply", path=path, line=number) from None
    if not isinstance(row, dict):
        raise CorpusError(
            f"a {type(row).__name__} where an object should be",
            path=path,
            line=number,
            hint="expected one JSON object a line",
        )
    return row


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A binary stream that becomes ``path`` only if the block ends well; ``-`` is standard output.

    The bytes go to a hidden file beside it and are moved in one step, so a failure leaves what was
    there before.

    Raises:
        InputError: The folder is missing or cannot be written to.
    """
    if str(path) == STDIO:
        buffer = io.BytesIO()
        yield buffer
        write_bytes(buffer.getvalue())
        return
    check_output(path)
    if path.exists() and not path.is_file():
        # A device or a named pipe is written to, not replaced.
        try:
            with path.open("wb") as stream:
                yield stream
        except OSError as error:
            raise InputError(f"cannot be written ({error.strerror})", path=path) from None
        return
    path = path.resolve()
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", path=path) from None
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        # mkstemp makes files private; give the result what a plain open() would have.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"cannot be written ({error.strerror})", path=path) from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(data: bytes) -> None:
    """Bytes to standard output, through its text layer where it has no binary one."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
