"""Reading and writing files as the rest expects it: lines with numbers, whole files or none.

Knows no format. Errors name the file and the line. Paths are looked at by ``_paths``, files are
written by ``_whole``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from llmner._paths import beside, check_output, is_file, kind_of, reason, target_of
from llmner._shown import STEERING
from llmner._whole import (
    STDIO,
    clear_dead,
    locked,
    mode_like,
    replace_file,
    whole_file,
    write_bytes,
)
from llmner.errors import CorpusError, InputError

__all__ = [
    "beside",
    "check_output",
    "clear_dead",
    "dump_json",
    "is_file",
    "kind_of",
    "locked",
    "mode_like",
    "open_bytes",
    "open_lines",
    "parse_json",
    "parse_row",
    "read_json",
    "read_jsonl",
    "read_text",
    "regular_file",
    "replace_file",
    "target_of",
    "told_of",
    "too_deep",
    "whole_file",
    "write_bytes",
]

_BATCH_BYTES = 1 << 16
# What a text may hold and a terminal must not be given.
_STEERING_CHARS = re.compile(f"[{STEERING}]")
# More digits than any float has before its point are no number of ours, and not always one of
# Python's.
_MAX_DIGITS = 308
_DIGITS = re.compile("[0-9]{4}")
_TOO_MANY_DIGITS = re.compile(rf"[0-9]{{{_MAX_DIGITS + 1}}}")


def dump_json(value: Any, *, indent: int | None = None) -> bytes:
    """JSON as UTF-8 without needless escapes.

    Half surrogate pairs, which UTF-8 lacks, stay escaped, and so do the control characters that
    JSON itself would let through: somebody may look at it in a terminal.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if not text.isprintable():  # Quicker to see than which of its characters are not.
        text = _STEERING_CHARS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return text.encode("utf-8", "backslashreplace")


def parse_json(text: str) -> Any:
    """The value that a JSON text is.

    Raises:
        ValueError: It is none, or holds what no file of ours does; says which.
    """
    try:
        # Among so many digits in a row are four of every 77th character: few texts need a second
        # look.
        too_many_digits = _DIGITS.search(
            text[:: (_MAX_DIGITS + 1) // 4]
        ) and _TOO_MANY_DIGITS.search(text)
        return json.loads(text, parse_int=_whole_number if too_many_digits else None)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg})") from None
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None


def too_deep(value: Any, most: int = 50) -> bool:
    """Whether a value from JSON is nested deeper than whatever copies or prints it should have to
    go.
    """
    level = [value]
    for _ in range(most):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _whole_number(digits: str) -> int:
    count = len(digits.removeprefix("-"))
    if count > _MAX_DIGITS:
        raise ValueError(f"JSON with a number of {count:,} digits")
    return int(digits)


@contextmanager
def regular_file(path: Path) -> Iterator[Path]:
    """A path that can be opened more than once: the path itself, or a temporary copy of a pipe.

    Formats are guessed by looking at a file before it is read; what was looked at in a pipe is
    gone.
    """
    try:
        special = str(path) == STDIO or kind_of(path) == "special"
    except InputError:
        special = False
    if not special:
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="llmner-") as copy, open_bytes(path) as stream:
        try:
            shutil.copyfileobj(stream, copy)
            copy.flush()
        except OSError as error:
            raise CorpusError(f"cannot be read ({reason(error)})", path=path) from None
        yield Path(copy.name)


def told_of(error: InputError, real: Path, path: Path) -> InputError:
    """An error in a temporary copy (:func:`regular_file`), told of what it is a copy of."""
    if error.path != str(real) or real == path:
        return error
    return type(error)(error.problem, path=path, line=error.line, id=error.id, hint=error.hint)


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """A file, or standard input where it is called ``-``.

    Raises:
        CorpusError: Missing, a directory, or unreadable.
    """
    if str(path) == STDIO:
        if sys.stdin is None:
            raise CorpusError("standard input is closed", path=path)
        yield sys.stdin.buffer
        return
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise CorpusError("no such file", path=path) from None
    except IsADirectoryError:
        raise CorpusError("is a directory", path=path, hint="give a file") from None
    except (OSError, ValueError) as error:
        raise CorpusError(f"cannot be read ({reason(error)})", path=path) from None
    with stream:
        if _is_device(stream):
            raise CorpusError("is a device", path=path, hint="give a file or a pipe")
        yield stream


def _is_device(stream: BinaryIO) -> bool:
    """Whether a file is a device (other than a terminal or ``/dev/null``), which nobody can read to
    its end.
    """
    status = os.fstat(stream.fileno())
    if stat.S_ISBLK(status.st_mode):
        return True
    return stat.S_ISCHR(status.st_mode) and not (
        stream.isatty() or status.st_rdev == os.stat(os.devnull).st_rdev
    )


def open_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""(line number from 1, line without its end) of a UTF-8 file, streamed.

    Only ``\n`` ends a line (with a ``\r`` before it, if there is one): texts may hold U+2028,
    U+0085 and the like. A byte-order mark is dropped.

    Raises:
        CorpusError: Missing, a directory, unreadable, or not UTF-8.
    """
    number = 0
    with open_bytes(path) as stream:
        # Decoded a few thousand lines at a time: a line at a time takes twice as long.
        while batch := _lines_of(stream, path):
            if number == 0 and batch[0].startswith(b"\xef\xbb\xbf"):
                batch[0] = batch[0][3:]
            try:
                text = b"".join(batch).decode("utf-8")
            except UnicodeDecodeError:
                yield from _lines_until_error(path, number, batch)
                return
            if batch[-1].endswith(b"\n"):
                text = text[:-1]
            returns = "\r" in text
            for line in text.split("\n"):
                number += 1
                yield number, line.removesuffix("\r") if returns else line


def _lines_of(stream: BinaryIO, path: Path) -> list[bytes]:
    """The next few thousand lines."""
    try:
        return stream.readlines(_BATCH_BYTES)
    except OSError as error:
        raise CorpusError(f"cannot be read ({reason(error)})", path=path) from None


def read_text(path: Path) -> str:
    """A whole UTF-8 file, without its byte-order mark.

    Raises:
        CorpusError: As :func:`open_lines`.
    """
    with open_bytes(path) as stream:
        try:
            return stream.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"not UTF-8 (byte {error.start})", path=path, hint="save it as UTF-8"
            ) from None
        except OSError as error:
            raise CorpusError(f"cannot be read ({reason(error)})", path=path) from None


def read_json(path: Path, *, hint: str | None = None) -> Any:
    """The value that a JSON file holds.

    Args:
        path: The file.
        hint: What was expected of it.

    Raises:
        CorpusError: The file cannot be read, or holds no JSON.
    """
    text = read_text(path)
    try:
        return parse_json(text)
    except ValueError as error:
        raise CorpusError(str(error), path=path, hint=hint) from None


def _lines_until_error(path: Path, number: int, batch: list[bytes]) -> Iterator[tuple[int, str]]:
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
        row = parse_json(line)
    except ValueError as error:
        raise CorpusError(
            str(error), path=path, line=number, hint="expected one JSON object a line"
        ) from None
    if not isinstance(row, dict):
        raise CorpusError(
            f"a {type(row).__name__} where an object should be",
            path=path,
            line=number,
            hint="expected one JSON object a line",
        )
    return row
