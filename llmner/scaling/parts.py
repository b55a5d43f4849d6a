"""How input is divided into parts, each read and written by one worker.

A part is a stretch of lines, some row groups of a Parquet file, or a whole file. What a part is
depends on the input alone, so that a later run finds the parts of an earlier one.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from llmner._mishaps import attempt
from llmner.corpora import BadRow, ReadStats, guess_format, read_corpus
from llmner.errors import InputError
from llmner.files import RUN_FILE, kind_of, parse_json, told_of
from llmner.spans import Sentence

__all__ = [
    "WORK",
    "Part",
    "input_files",
    "is_job",
    "part_sentences",
    "plan_parts",
    "record_of",
    "shortened",
]

WORK = ".work"
"""The folder of a job's unfinished parts, beside the finished ones."""
_LINES = (".jsonl", ".ndjson")
_ENDS = 1 << 16


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of input.

    Attributes:
        number: Its number, from 0.
        path: Its file.
        format: The file's format; ``None`` to guess it.
        start: Of lines: the byte from which on lines begin that are its own. Of Parquet: its first
            row group. ``None`` for a whole file.
        end: The byte, or the row group, at which it ends.
    """

    number: int
    path: str
    format: str | None
    start: int | None = None
    end: int | None = None

    @property
    def place(self) -> Path:
        """What errors call it; lines are counted from where it begins."""
        return Path(self.path if self.start is None else f"{self.path}@{self.start}")

    @property
    def name(self) -> str:
        """What its output is called, without the suffix."""
        return f"part-{self.number:06d}"


def input_files(patterns: Sequence[str]) -> list[Path]:
    """The files that patterns name, sorted, with their whole paths; a folder stands for its files.

    ``**`` in a pattern stands for any folders. Empty and hidden files, and those whose names begin
    with ``_`` (Spark's ``_SUCCESS``), are passed over. Of a finished job's folder, the parts count.

    Raises:
        InputError: A pattern names none.

    >>> input_files(["no/such/*.jsonl"])
    Traceback (most recent call last):
    llmner.errors.InputError: no/such/*.jsonl: no such file
    """
    found: set[Path] = set()
    for pattern in patterns:
        path = Path(pattern)
        if kind_of(path) == "missing":
            own = [Path(name) for name in glob(pattern, recursive=True)]
        elif not path.is_dir():
            own = [path]
        elif is_job(path):
            own = list(path.glob("part-*"))
        elif is_job(path / WORK):
            raise InputError(
                "is the output of a job that is not finished",
                path=path,
                hint="give the same command again to finish it",
            )
        else:
            own = list(path.iterdir())
        files = [
            file.resolve()
            for file in own
            if file == path or (file.is_file() and not file.name.startswith((".", "_")))
        ]
        if not files:
            raise InputError("no such file", path=pattern)
        found.update(file for file in files if file.stat().st_size)
    if not found:
        raise InputError("holds nothing", path=patterns[0])
    return sorted(found)


def is_job(folder: Path) -> bool:
    """Whether a folder has the record of a job.

    >>> is_job(Path("no such folder"))
    False
    """
    return {"command", "part_bytes"} <= record_of(folder / RUN_FILE).keys()


def record_of(path: Path) -> dict[str, Any]:
    """What a job wrote down; nothing if it cannot be read.

    >>> record_of(Path("no such file"))
    {}
    """
    made: Any = attempt(lambda: parse_json(path.read_text("utf-8")))
    return made if isinstance(made, dict) else {}


def plan_parts(files: Sequence[Path], format: str | None, size: int) -> list[Part]:
    """Divide files into parts of about so many bytes.

    Args:
        files: The files.
        format: Their format; ``None`` guesses each file's.
        size: The bytes of a part. A file that cannot be divided is one part.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.jsonl"
    ...     _ = path.write_text('{"text": "a"}\\n' * 10)
    ...     [(part.start, part.end) for part in plan_parts([path], None, 100)]
    [(0, 100), (100, 140)]
    """
    parts: list[Part] = []
    for path in files:
        own = format or guess_format(path)
        for start, end in _ranges(path, own, size):
            parts.append(Part(len(parts), str(path), own, start, end))
    return parts


def _ranges(path: Path, format: str, size: int) -> Iterator[tuple[int | None, int | None]]:
    if format == "parquet":
        yield from _row_groups(path, size)
    elif _is_lines(path, format):
        total = path.stat().st_size
        for start in range(0, max(total, 1), size):
            yield start, min(start + size, total)
    else:
        yield None, None


def _is_lines(path: Path, format: str) -> bool:
    """Whether each line of a file stands for itself."""
    with path.open("rb") as stream:
        head = stream.read(_ENDS)
    if b"\0" in head or head.startswith(b"\xef\xbb\xbf"):
        # Of several bytes a character; or with a mark, which only the first part would have.
        return False
    if format == "text":
        return b"\n" in head
    # How tokens are joined is told from a whole file; and one object may take many lines.
    first = head.lstrip().partition(b"\n")[0]
    is_row = isinstance(attempt(parse_json, first.decode("utf-8", "replace")), dict)
    return is_row and format != "tokens" and path.suffix.lower() in _LINES


def _row_groups(path: Path, size: int) -> Iterator[tuple[int | None, int | None]]:
    from pyarrow import parquet

    about = parquet.ParquetFile(path).metadata
    first = gathered = 0
    for group in range(about.num_row_groups):
        gathered += about.row_group(group).total_byte_size
        if gathered >= size or group + 1 == about.num_row_groups:
            yield first, group + 1
            first, gathered = group + 1, 0


@contextmanager
def part_file(part: Part) -> Iterator[Path]:
    """A file that holds a part and nothing else; removed afterwards if it was made for this."""
    source = Path(part.path)
    if part.start is None or part.end is None:
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="llmner-part-") as folder:
        path = Path(folder) / source.name
        if part.format == "parquet":
            from pyarrow import parquet

            groups = list(range(part.start, part.end))
            parquet.write_table(parquet.ParquetFile(source).read_row_groups(groups), path)
        else:
            with source.open("rb") as whole, path.open("wb") as stream:
                for line in lines_between(whole, part.start, part.end):
                    # A line without an end might be taken for a file of older line ends.
                    stream.write(line if line.endswith(b"\n") else line + b"\n")
        yield path


def lines_between(stream: Any, start: int, end: int) -> Iterator[bytes]:
    """The lines of a binary stream that begin in a range of bytes.

    >>> import io
    >>> [list(lines_between(io.BytesIO(b"ab\\ncd\\nef"), *own)) for own in ((0, 3), (3, 5), (5, 8))]
    [[b'ab\\n'], [b'cd\\n'], [b'ef']]
    """
    place = 0
    if start:
        # A line that began before belongs to the part before.
        stream.seek(start - 1)
        place = start - 1 + len(stream.readline())
    while place < end and (line := stream.readline()):
        place += len(line)
        yield line


def part_sentences(
    part: Part,
    *,
    strict: bool = False,
    labels: Collection[str] | None = None,
    on_bad: Callable[[BadRow], None] | None = None,
    stats: ReadStats | None = None,
) -> list[Sentence]:
    """The sentences of a part.

    Args:
        part: The part.
        strict: Whether a broken tag sequence is an error.
        labels: The only labels allowed; ``None`` allows all.
        on_bad: Called with each bad row, which is then skipped.
        stats: Counters to update.

    Raises:
        CorpusError: A row is bad, and ``on_bad`` is not given.
    """
    with part_file(part) as path:
        if part.start is not None and _is_blank(path, part):
            return []

        def told(bad: BadRow) -> None:
            assert on_bad is not None
            on_bad(BadRow(told_of(bad.error, path, part.place), bad.raw))

        try:
            own = None if on_bad is None else told
            sentences = read_corpus(
                path, part.format, strict=strict, labels=labels, on_bad=own, stats=stats
            )
            return list(sentences)
        except InputError as error:
            raise told_of(error, path, part.place) from None


def _is_blank(path: Path, part: Part) -> bool:
    """Whether a part has no rows."""
    if part.format == "parquet":
        from pyarrow import parquet

        return bool(parquet.ParquetFile(path).metadata.num_rows == 0)
    with path.open("rb") as stream:
        return not any(line.strip() for line in stream)


def shortened(files: Sequence[Path]) -> list[dict[str, Any]]:
    """What tells files from others: their names and sizes, and a hash of their ends.

    Whole files are not hashed: there may be terabytes of them.
    """
    told = []
    for path in files:
        size = path.stat().st_size
        with path.open("rb") as stream:
            ends = stream.read(_ENDS)
            stream.seek(max(0, size - _ENDS))
            ends += stream.read(_ENDS)
        told.append(
            {"path": str(path), "bytes": size, "ends": hashlib.sha256(ends).hexdigest()[:16]}
        )
    return told
