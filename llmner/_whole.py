"""Writing files whole or not at all.

A file is locked while it is written, and gets no more permissions than the file it replaces.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from llmner._paths import check_output, kind_of, reason, target_of
from llmner.errors import InputError

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be removed.
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "STDIO",
    "check_new_folder",
    "clear_dead",
    "locked",
    "mode_like",
    "replace_file",
    "whole_file",
    "whole_folder",
    "write_bytes",
]

STDIO = "-"
_PART = ".llmner-part"
_LONGEST_NAME = 220


def check_new_folder(path: Path) -> None:
    """Make sure that a folder can be made: it does not exist, or is empty.

    Raises:
        InputError: There is something.
    """
    if kind_of(path) != "missing" and (not path.is_dir() or any(path.iterdir())):
        raise InputError("already exists", path=path, hint="name a new folder")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to write into that becomes ``path`` only if the block ends well.

    Args:
        path: The folder. It must not exist, or must be empty.

    Raises:
        InputError: It has something in it, or cannot be made.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_folder(Path(folder) / "out") as part:
    ...         _ = (part / "a").write_text("done")
    ...     [file.name for file in (Path(folder) / "out").iterdir()]
    ['a']
    """
    path = target_of(path)
    check_new_folder(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{path.name[:_LONGEST_NAME]}.", dir=path.parent))
    except OSError as error:
        raise InputError(f"cannot be made ({reason(error)})", path=path) from None
    try:
        yield part
        if path.exists():
            # It may be a mount, which cannot be replaced.
            for own in part.iterdir():
                shutil.move(own, path / own.name)
        else:
            # A folder of mkdtemp is its owner's alone.
            part.chmod(0o777 & ~_umask())
            part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def whole_file(path: Path, *, like: Path | None = None) -> Iterator[BinaryIO]:
    """A binary stream that becomes ``path`` only if the block ends well; ``-`` is standard output.

    The bytes go to a hidden file beside ``path``, which is moved into place in one step. After a
    failure the old file is still there. Links are followed: the file they lead to is replaced. The
    new file takes over the old one's mode, and its owner and group where that is allowed. Without
    an old file it has the mode that ``open`` would give it.

    The hidden file is locked while it is written. If the writer is killed, the next writer of the
    same path removes it (:func:`clear_dead`).

    Args:
        path: The file.
        like: A file whose permissions the new one must not exceed.

    Raises:
        InputError: The folder is missing or cannot be written to.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "out.txt"
    ...     with whole_file(path) as stream:
    ...         _ = stream.write(b"done")
    ...         path.exists()
    ...     path.read_bytes()
    False
    b'done'
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
                stream.close()  # Windows cannot move an open file.
            # It is moved while it is locked, so no other writer takes it for an abandoned one.
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
    """Move a file into another's place, with that one's mode, owner and group.

    Owner and group are taken over where the system allows it.

    Args:
        part: The file to move. It should be private: it gets the old file's permissions only here.
        target: The path to replace; not a link.
        like: A file whose permissions it must not exceed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     part, target = Path(folder) / "part", Path(folder) / "out.txt"
    ...     _ = part.write_bytes(b"new"), target.write_bytes(b"old")
    ...     replace_file(part, target)
    ...     target.read_bytes(), part.exists()
    (b'new', False)
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
                # The group is another one, so it gets only the permissions of everybody else.
                mode &= ~0o070 | (mode & 0o007) << 3
        part.chmod(mode & mode_like(like, 0o777))
    part.replace(target)


def mode_like(like: Path | None, most: int = 0o666) -> int:
    """The mode, before the umask, of a new file whose permissions must not exceed another's.

    >>> oct(mode_like(None))
    '0o666'
    """
    try:
        return most if like is None else most & stat.S_IMODE(like.stat().st_mode)
    except FileNotFoundError:
        return most


def _part_prefix(target: Path) -> str:
    """The beginning of the names of the hidden files that are written for ``target``."""
    name = os.fsencode(target.name)
    # The target's name may already be as long as the system allows.
    stem = target.name if len(name) <= _LONGEST_NAME else hashlib.sha256(name).hexdigest()[:32]
    return f".{stem}."


def _new_part(target: Path, mode: int) -> tuple[Path, int]:
    """A hidden file beside ``target``, and its locked descriptor."""
    if kind_of(target) == "file":
        mode = 0o600  # replace_file gives it the old file's mode.
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        part = target.with_name(f"{_part_prefix(target)}{secrets.token_hex(4)}{_PART}")
        try:
            handle = os.open(part, flags, mode)
        except FileExistsError:
            continue
        # Another writer may have removed it between its creation and its locking.
        if locked(handle) is not False and _is_at(handle, part):
            return part, handle
        os.close(handle)


def locked(handle: int) -> bool | None:
    """Lock an open file for as long as it is open.

    The lock is ``flock``'s, which the system releases when the process ends, however it ends.
    Windows and some network file systems do not have it.

    Args:
        handle: The file's descriptor.

    Returns:
        Whether it is locked now: ``False`` where another process has the lock, ``None`` where files
        cannot be locked.

    >>> import tempfile
    >>> with tempfile.TemporaryFile() as stream:
    ...     locked(stream.fileno()) is not False
    True
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
    """Whether a path still is that of an open file."""
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def clear_dead(target: Path) -> None:
    """Remove hidden files that killed writers of ``target`` left behind.

    A writer locks its hidden file, so one that can be locked is abandoned. On Windows, removing an
    open file fails. Where files cannot be locked (some network file systems), nothing is removed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     abandoned = Path(folder) / ".out.txt.0123abcd.llmner-part"
    ...     abandoned.touch()
    ...     clear_dead(Path(folder) / "out.txt")
    ...     abandoned.exists()
    False
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
    """Write bytes to standard output.

    Raises:
        InputError: Standard output is closed.
    """
    if sys.stdout is None:
        raise InputError("standard output is closed", hint="name a file to write")
    sys.stdout.flush()
    remaining = memoryview(data)
    while remaining:
        # With PYTHONUNBUFFERED, write may take fewer bytes than it is given.
        remaining = remaining[sys.stdout.buffer.write(remaining) :]
    sys.stdout.buffer.flush()
