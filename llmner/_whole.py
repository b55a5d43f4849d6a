"""Writing files whole or not at all, locked while they are written, no more open than what they
replace.

Knows no format.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from llmner._paths import check_output, kind_of, reason, target_of
from llmner.errors import InputError

try:
    import fcntl
except ImportError:  # Windows, where what is open cannot be removed.
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "STDIO",
    "clear_dead",
    "locked",
    "mode_like",
    "replace_file",
    "whole_file",
    "write_bytes",
]

STDIO = "-"
_PART = ".llmner-part"
_LONGEST_NAME = 220


@contextmanager
def whole_file(path: Path, *, like: Path | None = None) -> Iterator[BinaryIO]:
    """A binary stream that becomes ``path`` only if the block ends well; ``-`` is standard output.

    The bytes go to a hidden file beside it and are moved in one step, so a failure leaves what was
    there before. Links are followed: what they lead to is replaced. A file that is replaced hands
    on its mode, and its owner and group where that is allowed; a new one has the mode that ``open``
    would give it.

    The hidden file is locked while it is written. A writer that is killed leaves it, unlocked, to
    the next one of the same path, which removes it (:func:`clear_dead`).

    Args:
        path: The file.
        like: A file that this one must not be more open than.

    Raises:
        InputError: The folder is missing or cannot be written to.
    """
    if str(path) == STDIO:
        buffer = io.BytesIO()
        yield buffer
        write_bytes(buffer.getvalue())
        return
    check_output(path)
    if kind_of(path) == "special":
        # A device or a named pipe is written to, not replaced.
        try:
            with path.open("wb") as stream:
                yield stream
        except BrokenPipeError:
            raise
        except OSError as error:
            raise InputError(f"cannot be written ({reason(error)})", path=path) from None
        return
    target = target_of(path)
    clear_dead(target)
    try:
        part, handle = _new_part(target, mode_like(like))
    except OSError as error:
        raise InputError(f"cannot be written ({reason(error)})", path=path) from None
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            if fcntl is None:
                stream.close()  # Windows moves no file that is open.
            # Moved while it is locked: nobody takes it for what a dead writer left.
            replace_file(part, target, like=like)
    except BrokenPipeError:
        part.unlink(missing_ok=True)
        raise
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"cannot be written ({reason(error)})", path=path) from None
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def replace_file(part: Path, target: Path, *, like: Path | None = None) -> None:
    """Put a file in another's place, with the mode of what it replaces, and its owner and group
    where allowed.

    Args:
        part: The file to move; as private as need be from the start, it is opened up only here.
        target: Its place, no link.
        like: A file that it must not be more open than.
    """
    try:
        old = target.stat()
    except FileNotFoundError:
        pass
    else:
        mode = stat.S_IMODE(old.st_mode) & 0o777
        new = part.stat()
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
            try:
                os.chown(part, old.st_uid, old.st_gid)
            except (OSError, AttributeError):
                # Another group may see no more of it than anybody.
                mode &= ~0o070 | (mode & 0o007) << 3
        part.chmod(mode & mode_like(like, 0o777))
    part.replace(target)


def mode_like(like: Path | None, most: int = 0o666) -> int:
    """The mode, before the umask, of a new file that must not be more open than another."""
    try:
        return most if like is None else most & stat.S_IMODE(like.stat().st_mode)
    except FileNotFoundError:
        return most


def _part_prefix(target: Path) -> str:
    """What the names of hidden files begin with that are to become a file."""
    name = os.fsencode(target.name)
    # A name may be as long as a name can be.
    stem = target.name if len(name) <= _LONGEST_NAME else hashlib.sha256(name).hexdigest()[:32]
    return f".{stem}."


def _new_part(target: Path, mode: int) -> tuple[Path, int]:
    """A hidden file beside ``target``, and its locked descriptor."""
    if kind_of(target) == "file":
        mode = 0o600  # Until it has the mode of what it replaces.
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        part = target.with_name(f"{_part_prefix(target)}{secrets.token_hex(4)}{_PART}")
        try:
            handle = os.open(part, flags, mode)
        except FileExistsError:
            continue
        # Between being made and being locked it looks like a dead writer's.
        if locked(handle) is not False and _is_at(handle, part):
            return part, handle
        os.close(handle)


def locked(handle: int) -> bool | None:
    """Lock an open file as long as it is open; ``False`` where another holds it, ``None`` where
    none can.

    By ``flock``, which the system lets go of when the process ends, however it ends. Windows has
    none, and neither have some network file systems.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(handle: int, path: Path) -> bool:
    """Whether a path is that of an open file, and not of another one by now."""
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def clear_dead(target: Path) -> None:
    """Remove hidden files that writers of ``target`` left when they were killed, none that is being
    written.

    Whoever writes such a file holds a lock on it, so one that can be locked is nobody's. On Windows
    removing fails while it is open. Where files cannot be locked (some network file systems),
    nothing is removed.
    """
    name = re.compile(re.escape(_part_prefix(target)) + "[0-9a-f]{8}" + re.escape(_PART))
    try:
        with os.scandir(target.parent) as entries:
            parts = [Path(entry.path) for entry in entries if name.fullmatch(entry.name)]
    except OSError:
        return
    for part in parts:
        with suppress(OSError):
            if fcntl is None:
                part.unlink()
                continue
            handle = os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if locked(handle) and _is_at(handle, part):
                    part.unlink()
            finally:
                os.close(handle)


def write_bytes(data: bytes) -> None:
    """Bytes to standard output.

    Raises:
        InputError: It is closed.
    """
    if sys.stdout is None:
        raise InputError("standard output is closed", hint="name a file to write")
    sys.stdout.flush()
    remaining = memoryview(data)
    while remaining:
        # Unbuffered (PYTHONUNBUFFERED), it may take less than it is given.
        remaining = remaining[sys.stdout.buffer.write(remaining) :]
    sys.stdout.buffer.flush()
