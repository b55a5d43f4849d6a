"""Reading and writing files: lines with their numbers, JSON, and files written whole or not at all.

This module knows no corpus format. Errors name the file and the line. ``_paths`` looks at paths,
``_whole`` writes files; what both export can be imported from here.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from llmner._paths import beside, check_output, is_file, kind_of, reason, target_of
from llmner._shown import STEERING
from llmner._whole import (
    STDIO,
    check_new_folder,
    clear_dead,
    locked,
    mode_like,
    replace_file,
    whole_file,
    whole_folder,
    write_bytes,
)
from llmner.errors import CorpusError, InputError, MissingExtraError

__all__ = [
    "ROW_COLUMN",
    "RUN_FILE",
    "beside",
    "check_new_folder",
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
    "whole_folder",
    "write_bytes",
    "write_jsonl",
]

RUN_FILE = "run.json"
"""What a finished job's folder has besides its parts."""
ROW_COLUMN = "row"
"""The column of Parquet parts that has whole rows, as JSON."""

_BATCH_BYTES = 1 << 16
_BATCH_ROWS = 1000
# Characters that JSON allows unescaped and that control a terminal.
_STEERING_CHARS = re.compile(f"[{STEERING}]")
# No float has more digits before its point. Python itself refuses to parse much longer integers.
_MAX_DIGITS = 308
_DIGITS = re.compile("[0-9]{4}")
# Byte-order marks of UTF-32 and UTF-16. Those of UTF-32 come first: one begins like UTF-16's.
_WIDE_MARKS = (b"\xff\xfe\0\0", b"\0\0\xfe\xff", b"\xff\xfe", b"\xfe\xff")
# Encodings that files without a mark may be in, with the letters that show that it is this one.
_ENCODINGS = {
    "cp949": re.compile("[\uac00-\ud7a3\u3131-\u318e]"),
    "shift_jis": re.compile("[\u3040-\u30ff\u4e00-\u9fff\u3001\u3002\u300c\u300d]"),
    "gb18030": re.compile("[\u4e00-\u9fff\u3000-\u3002\uff01-\uff5e]"),
    "cp1252": re.compile("[\u00a0-\u00ff\u2013-\u201e\u20ac]"),
}
_PAIRED = re.compile(rb"[\x80-\xff]{2}")
_TOO_MANY_DIGITS = re.compile(rf"[0-9]{{{_MAX_DIGITS + 1}}}")


def dump_json(value: Any, *, indent: int | None = None) -> bytes:
    """Serialise a value as JSON in UTF-8, without needless escapes.

    Lone surrogates, which UTF-8 cannot encode, stay escaped. So do control characters that JSON
    would allow as they are: somebody may look at the file in a terminal.

    Args:
        value: What to write.
        indent: Spaces per level; ``None`` for one line.

    >>> dump_json({"text": "손흥민"}).decode()
    '{"text": "손흥민"}'
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if not text.isprintable():  # This test is cheaper than the substitution.
        text = _STEERING_CHARS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return text.encode("utf-8", "backslashreplace")


def parse_json(text: str) -> Any:
    """Parse a JSON text.

    Raises:
        ValueError: The text is not JSON, is nested too deeply, or has a number of more than 308
            digits; the message says which.

    >>> parse_json('{"PS": ["손흥민"]}')
    {'PS': ['손흥민']}
    """
    try:
        # A run of 309 digits shows as four digits in a row among every 77th character. This quick
        # test spares most texts the full search.
        too_many_digits = _DIGITS.search(
            text[:: (_MAX_DIGITS + 1) // 4]
        ) and _TOO_MANY_DIGITS.search(text)
        return json.loads(text, parse_int=_whole_number if too_many_digits else None)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg})") from None
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None


def too_deep(value: Any, most: int = 50) -> bool:
    """Whether a value from JSON is nested deeper than ``most`` levels.

    Deeper values could exhaust the stack of whatever copies or prints them.

    >>> too_deep([[1]]), too_deep([[1]], most=1)
    (False, True)
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
        raise ValueError(f"a number of {count:,} digits is too long")
    return int(digits)


@contextmanager
def regular_file(path: Path) -> Iterator[Path]:
    """A path that can be opened more than once: the path itself, or a temporary copy of a pipe.

    The format of a corpus is guessed by reading its beginning. A pipe can be read only once, so it
    is copied first.

    Args:
        path: A file, a pipe, or ``-`` for standard input.

    Raises:
        CorpusError: The pipe cannot be read.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "corpus.txt"
    ...     _ = path.write_text("춘천")
    ...     with regular_file(path) as real:
    ...         real == path
    True
    """
    try:
        special = str(path) == STDIO or kind_of(path) == "special"
    except InputError:
        special = False
    if not special:
        yield path
        return
    # What is in no labelled format is plain text, as in a .txt file.
    with (
        tempfile.NamedTemporaryFile(prefix="llmner-", suffix=".txt") as copy,
        open_bytes(path) as stream,
    ):
        try:
            shutil.copyfileobj(stream, copy)
            copy.flush()
        except OSError as error:
            raise CorpusError(f"cannot be read ({reason(error)})", path=path) from None
        yield Path(copy.name)


def told_of(error: InputError, real: Path, path: Path) -> InputError:
    """The same error, naming the original file instead of its temporary copy.

    Args:
        error: An error that was raised while the copy was read.
        real: The path that :func:`regular_file` gave.
        path: The path it was given.

    >>> error = CorpusError("not UTF-8", path="/tmp/llmner-x1", line=3)
    >>> print(told_of(error, Path("/tmp/llmner-x1"), Path("-")))
    -:3: not UTF-8
    """
    if error.path != str(real) or real == path:
        return error
    return type(error)(error.problem, path=path, line=error.line, id=error.id, hint=error.hint)


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading bytes; ``-`` is standard input.

    The parts of a finished job (:data:`RUN_FILE` lies beside them) are read as one file.

    Raises:
        CorpusError: The file is missing, a directory, a device, or cannot be read.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.txt"
    ...     write = path.write_bytes(b"abc")
    ...     with open_bytes(path) as stream:
    ...         stream.read()
    b'abc'
    """
    if str(path) == STDIO:
        if sys.stdin is None:
            raise CorpusError("standard input is closed", path=path)
        yield sys.stdin.buffer
        return
    stream: BinaryIO
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise CorpusError("no such file", path=path) from None
    except IsADirectoryError:
        stream = _open_parts(path)
    except (OSError, ValueError) as error:
        raise CorpusError(f"cannot be read ({reason(error)})", path=path) from None
    with stream:
        if _is_device(stream):
            raise CorpusError("is a device", path=path, hint="give a file or a pipe")
        yield stream


def _open_parts(folder: Path) -> BinaryIO:
    """The parts of a finished job, one after another.

    Raises:
        CorpusError: The folder is no finished job's.
    """
    parts = sorted(folder.glob("part-*"))
    if not (folder / RUN_FILE).is_file():
        hint = "give the same command again to finish it" if parts else "give a file"
        what = "is the output of a job that is not finished" if parts else "is a directory"
        raise CorpusError(what, path=folder, hint=hint)
    return cast(BinaryIO, io.BufferedReader(_Chunks(_chunks(parts))))


def _chunks(parts: Sequence[Path]) -> Generator[bytes]:
    """What is in files, one after another."""
    for path in parts:
        if path.suffix == ".parquet":
            yield from _parquet_rows(path)
            continue
        with path.open("rb") as stream:
            while chunk := stream.read(_BATCH_BYTES):
                yield chunk


def _parquet_rows(path: Path) -> Iterator[bytes]:
    """The rows of a part that is Parquet, as lines of JSON.

    Raises:
        CorpusError: It has no column of rows.
        MissingExtraError: The ``ray`` extra is not installed.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("ray", "reading Parquet") from None
    file = parquet.ParquetFile(path)
    if ROW_COLUMN not in file.schema_arrow.names:
        raise CorpusError("has no whole rows", path=path, hint="read its parts one by one")
    for batch in file.iter_batches(_BATCH_ROWS, columns=[ROW_COLUMN]):
        lines = (str(value) for value in batch.column(0).to_pylist())
        yield "".join(f"{line}\n" for line in lines).encode()


class _Chunks(io.RawIOBase):
    """Bytes from an iterator, as a file that cannot be sought in."""

    def __init__(self, chunks: Generator[bytes]) -> None:
        self._chunks = chunks
        self._waiting = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._waiting:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._waiting = memoryview(chunk)
        size = min(len(buffer), len(self._waiting))
        buffer[:size] = self._waiting[:size]
        self._waiting = self._waiting[size:]
        return size

    def close(self) -> None:
        self._chunks.close()
        super().close()


def _is_device(stream: BinaryIO) -> bool:
    """Whether a file is a device, which may never end; terminals and ``/dev/null`` are allowed."""
    if not isinstance(stream, io.BufferedReader) or isinstance(stream.raw, _Chunks):
        return False
    status = os.fstat(stream.fileno())
    if stat.S_ISBLK(status.st_mode):
        return True
    return stat.S_ISCHR(status.st_mode) and not (
        stream.isatty() or status.st_rdev == os.stat(os.devnull).st_rdev
    )


def open_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""Stream the lines of a text file, each with its number.

    The file is in UTF-8, or in UTF-16 or UTF-32 with a byte-order mark. Only ``\n`` or ``\r\n``
    ends a line, because texts may contain U+2028, U+0085 and the like. In a file without a single
    ``\n``, ``\r`` does. A byte-order mark is dropped.

    Yields:
        The line's number, counted from 1, and the line without its end.

    Raises:
        CorpusError: The file is missing, a directory, cannot be read, or is in another encoding.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.txt"
    ...     _ = path.write_bytes(b"one\r\ntwo\n")
    ...     list(open_lines(path))
    [(1, 'one'), (2, 'two')]
    """
    number = 0
    with open_bytes(path) as stream:
        # Decoding a few thousand lines at a time takes half as long as decoding each line.
        while batch := _lines_of(stream, path):
            if number == 0:
                batch = _first_lines(batch, stream, path)
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


def _first_lines(batch: list[bytes], stream: BinaryIO, path: Path) -> list[bytes]:
    """The first lines of a file in UTF-8, whatever its encoding and its line ends."""
    start = batch[0][:4]
    if start.startswith(_WIDE_MARKS):
        try:
            content = b"".join(batch) + stream.read()
        except OSError as error:
            raise CorpusError(f"cannot be read ({reason(error)})", path=path) from None
        batch = [_from_wide(content, path)]
    elif _has_wide_letters(batch[0]):
        raise _wide_without_mark(path)
    first = batch[0].removeprefix(b"\xef\xbb\xbf")
    if len(batch) == 1 and b"\n" not in first:
        first = first.replace(b"\r", b"\n")
    return [first, *batch[1:]] if first or batch[1:] else [b"\n"]


def _from_wide(content: bytes, path: Path) -> bytes:
    """The content of a file in UTF-16 or UTF-32 with a byte-order mark, in UTF-8."""
    encoding = "utf-32" if content.startswith(_WIDE_MARKS[:2]) else "utf-16"
    try:
        return content.decode(encoding).encode("utf-8")
    except UnicodeError:
        raise CorpusError(
            f"begins as {encoding.upper()}, but is not", path=path, hint="save it as UTF-8"
        ) from None


def _has_wide_letters(content: bytes) -> bool:
    """Whether every other byte is a NUL, as in ASCII letters of UTF-16."""
    start = content[:200]
    pairs = len(start) // 2
    return pairs >= 2 and max(start[::2].count(0), start[1::2].count(0)) > 0.8 * pairs


def _wide_without_mark(path: Path) -> CorpusError:
    return CorpusError(
        "is in UTF-16 without a byte-order mark",
        path=path,
        hint="save the file as UTF-8, e.g. iconv -f utf-16le -t utf-8",
    )


def read_text(path: Path) -> str:
    """Read a whole text file, without its byte-order mark.

    The file is in UTF-8, or in UTF-16 or UTF-32 with a byte-order mark.

    Raises:
        CorpusError: The file is missing, a directory, cannot be read, or is in another encoding.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.txt"
    ...     _ = path.write_text("\\ufeff춘천", encoding="utf-8")
    ...     read_text(path)
    '춘천'
    """
    with open_bytes(path) as stream:
        try:
            content = stream.read()
        except OSError as error:
            raise CorpusError(f"cannot be read ({reason(error)})", path=path) from None
    if content.startswith(_WIDE_MARKS):
        content = _from_wide(content, path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"not UTF-8 (byte {error.start})", path=path, hint="save it as UTF-8"
        ) from None


def read_json(path: Path, *, hint: str | None = None) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        hint: What the error should say was expected.

    Raises:
        CorpusError: The file cannot be read, or is not JSON.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.json"
    ...     _ = path.write_bytes(dump_json({"f1": 0.9}))
    ...     read_json(path)
    {'f1': 0.9}
    """
    text = read_text(path)
    try:
        return parse_json(text)
    except ValueError as error:
        raise CorpusError(str(error), path=path, hint=hint) from None


def _lines_until_error(path: Path, number: int, batch: list[bytes]) -> Iterator[tuple[int, str]]:
    """Yield the lines of a batch up to the one that is not UTF-8, then raise the error for it."""
    for raw in batch:
        number += 1
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"not UTF-8 (byte {error.start} of the line is 0x{raw[error.start]:02x})",
                path=path,
                line=number,
                hint=_encoding_hint(b"".join(batch)),
            ) from None
        yield number, line.removesuffix("\n").removesuffix("\r")


def _encoding_hint(content: bytes) -> str:
    """How to save a file as UTF-8, with the encoding that this part of it seems to be in."""
    if content.count(b"\0") > len(content) / 8:
        return "save the file as UTF-8, e.g. iconv -f utf-16le -t utf-8"
    # Letters of East Asia are two bytes there, so single ones are accents.
    single = not _PAIRED.search(content)
    for encoding, script in _ENCODINGS.items() if not single else [*_ENCODINGS.items()][-1:]:
        try:
            letters = [char for char in content.decode(encoding) if ord(char) > 127]
        except UnicodeDecodeError:
            continue
        if len(script.findall("".join(letters))) >= 0.8 * len(letters):
            return f"save the file as UTF-8, e.g. iconv -f {encoding} -t utf-8"
    return "save the file as UTF-8, e.g. with iconv -f ENCODING -t utf-8"


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Stream the rows of a JSON Lines file, each with its line number; blank lines are skipped.

    Raises:
        CorpusError: The file cannot be read, or a line is not one JSON object.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.jsonl"
    ...     _ = path.write_text('{"id": 1}\\n\\n{"id": 2}\\n')
    ...     list(read_jsonl(path))
    [(1, {'id': 1}), (3, {'id': 2})]
    """
    for number, line in open_lines(path):
        if not line.strip():
            continue
        yield number, parse_row(path, number, line)


def write_jsonl(path: Path, rows: Iterable[Any], *, like: Path | None = None) -> None:
    """Write rows as JSON Lines, all of them or none.

    Args:
        path: The file.
        rows: The rows.
        like: A file whose permissions the new one must not exceed.

    Raises:
        InputError: The file cannot be written.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.jsonl"
    ...     write_jsonl(path, [{"id": 1}, {"id": 2}])
    ...     list(read_jsonl(path))
    [(1, {'id': 1}), (2, {'id': 2})]
    """
    with whole_file(path, like=like) as stream:
        for row in rows:
            stream.write(dump_json(row) + b"\n")


def parse_row(path: Path, number: int, line: str) -> dict[str, Any]:
    """Parse one row of a JSON Lines file.

    Args:
        path: The file, for the error.
        number: The line's number, for the error.
        line: The line.

    Raises:
        CorpusError: The line is not one JSON object.

    >>> parse_row(Path("a.jsonl"), 1, '{"id": "s1"}')
    {'id': 's1'}
    """
    try:
        row = parse_json(line)
    except ValueError as error:
        raise CorpusError(
            str(error), path=path, line=number, hint="expected one JSON object per line"
        ) from None
    if not isinstance(row, dict):
        raise CorpusError(
            f"expected an object, got a {type(row).__name__}",
            path=path,
            line=number,
            hint="write one JSON object per line",
        )
    return row
