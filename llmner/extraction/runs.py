"""Runs that survive: rows are on disk as they come, and the next run goes on behind the last one.

Beside the rows of a run that is not finished (``ROWS``) lies its record (``ROWS.run.json``): all
that decides the result. Rows of another recipe, model, policy or input are refused, never mixed.
Files change in an order that leaves, after a kill between any two steps, a state the next run
knows:

- ``ROWS`` without a whole row: nothing is done yet, whatever record lies there;
- ``OUTPUT.finished.run.json`` beside ``OUTPUT.partial``: all rows are there, and the two wait to be
  moved;
- ``OUTPUT.finished.run.json`` without it: ``OUTPUT`` is finished, its record waits to be moved.

``OUTPUT`` may be a link: all of these lie beside the file that it leads to, and are no more open
than that one.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from llmner.errors import CorpusError, InputError
from llmner.extraction.extractor import Extraction, Extractor, SpanExtractor
from llmner.files import (
    beside,
    check_output,
    clear_dead,
    dump_json,
    kind_of,
    locked,
    mode_like,
    open_lines,
    parse_json,
    parse_row,
    read_text,
    replace_file,
    target_of,
    too_deep,
    whole_file,
)
from llmner.recipes.chat import build_prompt
from llmner.spans import Sentence

__all__ = [
    "RunSummary",
    "cached_rows",
    "drop_rows",
    "kept_rows",
    "partial_path",
    "retry_failed",
    "run_extraction",
    "run_record",
]

_TAIL_BYTES = 1 << 16
_PARTIAL, _RETRY = ".partial", ".retry"
_OWNERS_FOLDER, _OWNERS_FILE = 0o700, 0o600


@dataclass(slots=True)
class RunSummary:
    """What a run came to.

    Attributes:
        sentences: Rows there are.
        unanswered: Of these, sentences that the engine has no answer to.
        reason: Why the first of them has none.
    """

    sentences: int = 0
    unanswered: int = 0
    reason: str | None = None

    def add(self, error: object = None) -> None:
        """Count one sentence; ``error`` says why it has no answer."""
        self.sentences += 1
        if error is not None:
            self.unanswered += 1
            self.reason = self.reason or str(error)


def run_record(rows: Path) -> dict[str, Any] | None:
    """What was written down about the run that made ``rows``, or ``None``."""
    try:
        path = _record_path(rows)
        record = parse_json(read_text(path)) if kind_of(path) == "file" else None
    except (InputError, ValueError):
        return None
    return record if isinstance(record, dict) and not too_deep(record) else None


def partial_path(output: Path) -> Path:
    """Where the rows lie until ``output`` is whole."""
    return beside(output, _PARTIAL)


def cached_rows(record: Mapping[str, Any]) -> Path | None:
    """Where rows of a run lie that has no output: in the user's cache, under the record's hash.

    ``$LLMNER_CACHE/runs``, else ``$XDG_CACHE_HOME/llmner/runs``, else ``~/.cache/llmner/runs``;
    ``None`` where no such folder can be made or written to. They are somebody's texts: the folder
    is its owner's alone.
    """
    folder = _cache_folder()
    try:
        if folder is None:
            return None
        folder.mkdir(mode=_OWNERS_FOLDER, parents=True, exist_ok=True)
        if stat.S_IMODE(folder.stat().st_mode) & ~_OWNERS_FOLDER:
            folder.chmod(_OWNERS_FOLDER)  # An older version made it.
    except (OSError, ValueError):
        return None
    if not os.access(folder, os.W_OK | os.X_OK):
        return None
    name = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:20]
    return folder / f"{name}.jsonl"


def _cache_folder() -> Path | None:
    given, user = os.environ.get("LLMNER_CACHE"), os.environ.get("XDG_CACHE_HOME")
    try:
        cache = (
            Path(given) if given else (Path(user) if user else Path.home() / ".cache") / "llmner"
        )
    except RuntimeError:
        return None  # Nobody's home.
    return cache / "runs"


def kept_rows(
    extractor: SpanExtractor,
    sentences: Iterable[Sentence],
    path: Path,
    record: Mapping[str, Any],
    *,
    restart: bool = False,
    on_resume: Callable[[int], None] | None = None,
) -> Iterator[tuple[dict[str, Any], Extraction | None]]:
    """The row of every sentence, in order: first those an interrupted run left in ``path``, then
    new ones.

    A new row is in the file before it is given out, and on the disk by the end of its batch.

    Args:
        extractor: What extracts.
        sentences: The same ones in the same order when resuming.
        path: The file of rows.
        record: What decides the rows; must be that of the rows already there.
        restart: Throw away what an interrupted run left.
        on_resume: Called with the number of rows that were there, before the first new one.

    Yields:
        The row, and its extraction where it is a new one.

    Raises:
        InputError: The rows belong to another run, another process is writing them, or they cannot
            be written.
        GenerationError: The engine could not answer; what was done stays.
    """
    record = json.loads(dump_json(record))
    items = iter(sentences)
    with _alone(path) as stream:
        done = 0
        try:
            if _drop_half_row(stream) and not restart:
                _refuse_other(run_record(path), record, path, "an interrupted run lies there")
                for row in _resumed(path, items, extractor):
                    done += 1
                    yield row, None
                if on_resume is not None:
                    on_resume(done)
            else:
                stream.truncate(0)
                _write_record(path, record)
            for extraction in extractor.extract(items):
                row = extraction.row()
                stream.write(dump_json(row) + b"\n")
                stream.flush()
                done += 1
                if done % extractor.batch_size == 0:
                    os.fsync(stream.fileno())
                yield row, extraction
            os.fsync(stream.fileno())
        finally:
            if not os.fstat(stream.fileno()).st_size:
                drop_rows(path)


def drop_rows(path: Path) -> None:
    """Remove the rows of a run whose result is elsewhere by now, and their record."""
    try:
        os.truncate(path, 0)
    except FileNotFoundError:
        return
    record = _record_path(path)
    clear_dead(record)
    record.unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _drop_abandoned(rows: Path) -> None:
    """Remove rows that no run will go on with, unless a run is writing them."""
    # Whatever it is that keeps them from being opened, there is a result, and it does not need
    # them.
    with suppress(InputError):
        if kind_of(rows) == "file":
            with _alone(rows):
                drop_rows(rows)


def run_extraction(
    extractor: SpanExtractor,
    sentences: Iterable[Sentence],
    output: Path,
    *,
    source: str,
    restart: bool = False,
    on_extraction: Callable[[Extraction], None] | None = None,
    on_resume: Callable[[int], None] | None = None,
) -> RunSummary:
    """Extract into a JSON Lines file, going on where an interrupted run stopped.

    Rows go to ``OUTPUT.partial`` and become ``OUTPUT`` when all are there; ``OUTPUT.run.json`` then
    keeps what decided the result. A ``kill -9`` loses at most the batch in flight. A sentence
    without an answer has a row with ``error``, which resuming leaves as it is (:func:`retry_failed`
    asks again).

    Args:
        extractor: What extracts.
        sentences: The sentences, the same ones in the same order when resuming.
        output: The file to write.
        source: What the sentences are, for the record (a file and its hash).
        restart: Throw away what an interrupted run left.
        on_extraction: Called with each extraction of this call.
        on_resume: Called with the number of sentences already there.

    Raises:
        InputError: The partial file belongs to another run, or the output cannot be written.
        GenerationError: The engine could not answer; what was done stays.
    """
    check_output(output)
    if kind_of(output) == "special":
        raise InputError(
            "is no regular file", path=output, hint="name a file, or - for standard output"
        )
    output = target_of(output)
    partial = partial_path(output)
    # Of all names beside it the longest; better no name now than none when all is done.
    check_output(_finished_path(output))
    record = json.loads(dump_json({"input": source, **extractor.describe()}))
    summary = RunSummary()
    if _settle(output) and not restart and run_record(output) == record:
        for number, line in open_lines(output):
            summary.add(parse_row(output, number, line).get("error"))
        if on_resume is not None:
            on_resume(summary.sentences)
        return summary
    rows = kept_rows(extractor, sentences, partial, record, restart=restart, on_resume=on_resume)
    for row, extraction in rows:
        summary.add(row.get("error"))
        if extraction is not None and on_extraction is not None:
            on_extraction(extraction)
    if not summary.sentences:
        raise CorpusError("holds no sentence", path=source)
    # The record of an earlier, finished run stays until its output is replaced.
    _record_path(partial).replace(_finished_path(output))
    replace_file(partial, output)
    _settle(output)
    _drop_abandoned(beside(output, _RETRY))
    return summary


def retry_failed(
    extractor: SpanExtractor,
    sentences: Iterable[Sentence],
    output: Path,
    *,
    source: str,
    on_failures: Callable[[int], None] | None = None,
    on_extraction: Callable[[Extraction], None] | None = None,
    on_resume: Callable[[int], None] | None = None,
) -> RunSummary:
    """Ask again what has no answer in a finished output, and put the new rows in place of the old.

    The answers are kept in ``OUTPUT.retry`` until all are there; ``OUTPUT`` changes in one step.

    Args:
        extractor: What extracts, as it did then.
        sentences: The sentences of the finished run.
        output: Its file.
        source: What the sentences are, as it was then.
        on_failures: Called with the number of sentences to ask again.
        on_extraction: Called with each extraction of this call.
        on_resume: Called with the number of answers that an interrupted retry left.

    Raises:
        InputError: There is no finished run, or it is one of another recipe, model, policy or
            input.
        GenerationError: The engine could not answer; what was done stays.
    """
    check_output(output)
    given, output = output, target_of(output)
    check_output(_finished_path(output))
    _settle(output)
    if kind_of(output) != "file":
        raise InputError(
            "there is no finished run",
            path=given,
            hint="run without --retry-failed, which finishes it",
        )
    record = json.loads(dump_json({"input": source, **extractor.describe()}))
    _refuse_other(run_record(output), record, output, "was made", "ask again as it was asked")
    summary = RunSummary()
    failed: list[Sentence] = []
    items = iter(sentences)
    digest = hashlib.sha256()
    for row, sentence in _matched(output, items):
        digest.update(dump_json(row))
        summary.add(row.get("error"))
        if row.get("error") is not None:
            failed.append(sentence)
    if next(items, None) is not None:
        raise InputError(
            "has fewer rows than the input", path=output, hint="extract the input again"
        )
    if on_failures is not None:
        on_failures(len(failed))
    rows = beside(output, _RETRY)
    if not failed:
        _drop_abandoned(rows)
        return summary
    # Answers to the failures of an output that has been replaced since are of no use.
    record |= {"retry_of": digest.hexdigest()}
    answers: list[dict[str, Any]] = []
    restart = run_record(rows) != record
    for row, extraction in kept_rows(
        extractor, failed, rows, record, restart=restart, on_resume=on_resume
    ):
        answers.append(row)
        if extraction is not None and on_extraction is not None:
            on_extraction(extraction)
    again = iter(answers)
    summary = RunSummary()
    with whole_file(output) as stream:
        for number, line in open_lines(output):
            if not line:
                continue
            row = parse_row(output, number, line)
            if row.get("error") is not None:
                row = next(again)
                line = dump_json(row).decode()
            summary.add(row.get("error"))
            stream.write(f"{line}\n".encode())
        stream.flush()
        os.fsync(stream.fileno())
    drop_rows(rows)
    return summary


def _record_path(rows: Path) -> Path:
    return beside(rows, ".run.json")


def _finished_path(output: Path) -> Path:
    return beside(output, ".finished.run.json")


def _write_record(rows: Path, record: Mapping[str, Any]) -> None:
    """The record, whole or not at all."""
    with whole_file(_record_path(rows), like=rows) as stream:
        stream.write(dump_json(record, indent=2) + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def _settle(output: Path) -> bool:
    """Finish the moves that a kill came between; whether ``output`` thereby is finished."""
    finished, partial = _finished_path(output), partial_path(output)
    if kind_of(finished) == "missing":
        return False
    moved = kind_of(partial) == "missing" and kind_of(output) != "missing"
    rows = output if moved else partial
    replace_file(finished, _record_path(rows), like=rows)
    return moved


def _private_mode(path: Path) -> int:
    """The mode, before the umask, of a file of rows: no more open than its output, in the cache its
    owner's.
    """
    if path.parent == _cache_folder():
        return _OWNERS_FILE
    output = next(
        (
            path.with_name(path.name.removesuffix(s))
            for s in (_PARTIAL, _RETRY)
            if path.name.endswith(s)
        ),
        None,
    )
    return mode_like(output)


@contextmanager
def _alone(path: Path) -> Iterator[BinaryIO]:
    """The file, to append to, while no other process does."""
    mode = _private_mode(path)
    try:
        handle = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), mode
        )
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", path=path) from None
    with os.fdopen(handle, "a+b") as stream:
        taken = locked(handle) is False
        try:
            # Whoever held it may have finished, and moved it, between opening and locking.
            taken = taken or not os.path.samestat(os.fstat(handle), path.stat())
        except FileNotFoundError:
            taken = True
        if taken:
            raise InputError(
                "another run is writing it", path=path, hint="wait for it, or name another output"
            )
        if (held := stat.S_IMODE(os.fstat(handle).st_mode)) & ~mode & 0o066:
            path.chmod(held & mode)  # The output has become more private since.
        yield stream


def _drop_half_row(stream: BinaryIO) -> int:
    """Cut off a row that a kill came in the middle of; what is left, in bytes."""
    end = at = stream.seek(0, os.SEEK_END)
    whole = 0
    while at and not whole:
        start = max(0, at - _TAIL_BYTES)
        stream.seek(start)
        whole = start + found + 1 if (found := stream.read(at - start).rfind(b"\n")) >= 0 else 0
        at = start
    if whole != end:
        stream.truncate(whole)
    stream.seek(0, os.SEEK_END)
    return whole


def _refuse_other(
    known: Mapping[str, Any] | None,
    record: Mapping[str, Any],
    path: Path,
    what: str,
    hint: str = "finish it as it was begun, or start over with --restart",
) -> None:
    """Refuse rows that something else decided."""
    known = known or {}
    if known != record:
        differing = sorted(key for key in {*record, *known} if known.get(key) != record.get(key))
        what = (
            f"{what} with another {', '.join(differing)}" if known else f"{what} without its record"
        )
        raise InputError(what, path=path, hint=hint)


def _matched(path: Path, items: Iterator[Sentence]) -> Iterator[tuple[dict[str, Any], Sentence]]:
    """Each row with the sentence it must be of."""
    for number, line in open_lines(path):
        if not line:
            continue
        row = parse_row(path, number, line)
        sentence = next(items, None)
        if sentence is None or row.get("text") != sentence.text or row.get("id") != sentence.id:
            raise InputError(
                "the interrupted run's sentences are not the input's",
                path=path,
                line=number,
                hint="start over with --restart",
            )
        yield row, sentence


def _resumed(
    path: Path, items: Iterator[Sentence], extractor: SpanExtractor
) -> Iterator[dict[str, Any]]:
    """The rows that are there; recorded replies to them are passed over."""
    recorded = extractor.engine.recorded() if isinstance(extractor, Extractor) else None
    for row, sentence in _matched(path, items):
        if recorded is not None and isinstance(extractor, Extractor):
            recorded.skip(build_prompt(extractor.recipe, sentence))
        yield row
