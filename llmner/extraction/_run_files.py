"""The files of a run: rows, the record of what decided them, and the order in which they change.

``ROWS.run.json`` is the record of an unfinished run, next to its rows ``ROWS``. The files change in
such an order that a kill between any two steps leaves a state that the next run understands:

- ``ROWS`` has no complete row: nothing is done yet, whatever record there is.
- ``OUTPUT.finished.run.json`` and ``OUTPUT.partial`` exist: all rows are there, and both files must
  still be moved.
- ``OUTPUT.finished.run.json`` exists without ``OUTPUT.partial``: ``OUTPUT`` is finished, and its
  record must still be moved.

``OUTPUT`` may be a link. Then all of these files are next to the file that it leads to, and none
has wider permissions than that file.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from llmner.errors import InputError
from llmner.files import (
    beside,
    clear_dead,
    dump_json,
    kind_of,
    locked,
    mode_like,
    parse_json,
    read_text,
    replace_file,
    too_deep,
    whole_file,
)

__all__ = [
    "USAGE",
    "cached_rows",
    "check_record",
    "drop_abandoned_rows",
    "drop_half_row",
    "drop_rows",
    "finish_moves",
    "finished_record_path",
    "open_alone",
    "partial_path",
    "record_path",
    "retry_path",
    "run_record",
    "write_record",
]

_TAIL_BYTES = 1 << 16
_PARTIAL, _RETRY = ".partial", ".retry"
_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600


USAGE = "usage"
"""The key of a finished run's record under which its tokens are; it decides nothing."""


def run_record(rows: Path) -> dict[str, Any] | None:
    """The record of what decided ``rows``, or ``None`` if there is none; not what they cost.

    >>> run_record(Path("no-such-file.jsonl")) is None
    True
    """
    try:
        path = record_path(rows)
        record = parse_json(read_text(path)) if kind_of(path) == "file" else None
    except (InputError, ValueError):
        return None
    if not isinstance(record, dict) or too_deep(record):
        return None
    return {key: value for key, value in record.items() if key != USAGE}


def write_record(rows: Path, record: Mapping[str, Any]) -> None:
    """Write the record of a run, completely or not at all."""
    with whole_file(record_path(rows), like=rows) as stream:
        stream.write(dump_json(record, indent=2) + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def check_record(
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any],
    path: Path,
    what: str,
    hint: str = "finish it as it was begun, or start over with --restart",
) -> None:
    """Check that existing rows were decided by the same record.

    Args:
        old: The record of the rows, if there is one.
        new: The record of this run.
        path: The file of rows.
        what: What is wrong with the rows, up to "with another" or "without its record".
        hint: What to do.

    Raises:
        InputError: They were not.
    """
    old = old or {}
    if old != new:
        keys = sorted(key for key in {*new, *old} if old.get(key) != new.get(key))
        difference = f"with another {', '.join(keys)}" if old else "without its record"
        raise InputError(f"{what} {difference}", path=path, hint=hint)


def partial_path(output: Path) -> Path:
    """Where the rows are until ``output`` is complete.

    >>> partial_path(Path("rows.jsonl")).name
    'rows.jsonl.partial'
    """
    return beside(output, _PARTIAL)


def retry_path(output: Path) -> Path:
    """Where the new answers to failed sentences are until all are there."""
    return beside(output, _RETRY)


def record_path(rows: Path) -> Path:
    """Where the record of rows is."""
    return beside(rows, ".run.json")


def finished_record_path(output: Path) -> Path:
    """Where the record of a finished run is until ``output`` is in its place."""
    return beside(output, ".finished.run.json")


def cached_rows(record: Mapping[str, Any]) -> Path | None:
    """Where the rows of a run without an output are: in the user's cache, by the record's hash.

    The folder is ``$LLMNER_CACHE/runs``, else ``$XDG_CACHE_HOME/llmner/runs``, else
    ``~/.cache/llmner/runs``. Only its owner can open it, because rows contain texts. ``None`` if no
    such folder can be made or written to.
    """
    folder = _cache_folder()
    try:
        if folder is None:
            return None
        folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        if stat.S_IMODE(folder.stat().st_mode) & ~_PRIVATE_FOLDER:
            folder.chmod(_PRIVATE_FOLDER)  # An older version made it.
    except (OSError, ValueError):
        return None
    if not os.access(folder, os.W_OK | os.X_OK):
        return None
    name = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:20]
    return folder / f"{name}.jsonl"


def _cache_folder() -> Path | None:
    own_cache, user_cache = os.environ.get("LLMNER_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own_cache:
        return Path(own_cache) / "runs"
    try:
        cache = Path(user_cache) if user_cache else Path.home() / ".cache"
    except RuntimeError:
        return None  # The user has no home folder.
    return cache / "llmner" / "runs"


def drop_rows(path: Path) -> None:
    """Remove rows and their record, once their result is elsewhere.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = Path(folder, "rows.jsonl.partial")
    ...     _ = rows.write_text('{"text": "손흥민은", "spans": []}')
    ...     drop_rows(rows)
    ...     rows.exists()
    False
    """
    try:
        os.truncate(path, 0)
    except FileNotFoundError:
        return
    record = record_path(path)
    clear_dead(record)
    record.unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def drop_abandoned_rows(rows: Path) -> None:
    """Remove rows that no run will resume, unless a run is writing them."""
    # If they cannot be opened they stay: the result is complete without them.
    with suppress(InputError):
        if kind_of(rows) == "file":
            with open_alone(rows):
                drop_rows(rows)


def finish_moves(output: Path) -> bool:
    """Finish the moves that a kill interrupted; ``True`` if that finished ``output``."""
    finished_record, partial = finished_record_path(output), partial_path(output)
    if kind_of(finished_record) == "missing":
        return False
    is_moved = kind_of(partial) == "missing" and kind_of(output) != "missing"
    rows = output if is_moved else partial
    replace_file(finished_record, record_path(rows), like=rows)
    return is_moved


def _private_mode(path: Path) -> int:
    """The mode, before the umask, of a file of rows.

    In the cache it is the owner's alone. Elsewhere its permissions are no wider than its output's.
    """
    if path.parent == _cache_folder():
        return _PRIVATE_FILE
    output = next(
        (
            path.with_name(path.name.removesuffix(suffix))
            for suffix in (_PARTIAL, _RETRY)
            if path.name.endswith(suffix)
        ),
        None,
    )
    return mode_like(output)


@contextmanager
def open_alone(path: Path) -> Iterator[BinaryIO]:
    """Open a file of rows to append to, locked against other processes.

    Raises:
        InputError: Another process has locked it, or it cannot be written.
    """
    mode = _private_mode(path)
    try:
        handle = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), mode
        )
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", path=path) from None
    with os.fdopen(handle, "a+b") as stream:
        in_use = locked(handle) is False
        try:
            # Between opening and locking, another run may have finished the file and moved it.
            in_use = in_use or not os.path.samestat(os.fstat(handle), path.stat())
        except FileNotFoundError:
            in_use = True
        if in_use:
            raise InputError(
                "another run is writing it", path=path, hint="wait for it, or name another output"
            )
        if (current := stat.S_IMODE(os.fstat(handle).st_mode)) & ~mode & 0o066:
            path.chmod(current & mode)  # The permissions of the output are narrower by now.
        yield stream


def drop_half_row(stream: BinaryIO) -> int:
    """Cut off a last row that a kill left incomplete; the size that is left, in bytes."""
    size = position = stream.seek(0, os.SEEK_END)
    complete = 0
    while position and not complete:
        start = max(0, position - _TAIL_BYTES)
        stream.seek(start)
        newline = stream.read(position - start).rfind(b"\n")
        complete = start + newline + 1 if newline >= 0 else 0
        position = start
    if complete != size:
        stream.truncate(complete)
    stream.seek(0, os.SEEK_END)
    return complete
