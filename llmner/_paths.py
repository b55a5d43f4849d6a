"""Looking at paths: what is there, and whether a file can be written there.

A string may not be a possible path at all, and a path may lead through links to anything. Both give
an ``InputError`` here, not whatever the system raises.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Literal

from llmner.errors import InputError

__all__ = ["beside", "check_output", "is_file", "kind_of", "reason", "target_of"]


def kind_of(path: Path) -> Literal["missing", "file", "folder", "special"]:
    """What is at a path, links followed; ``special`` is a device, a pipe or a socket.

    Raises:
        InputError: The path is impossible, its links go in a circle, or a folder on the way may not
            be entered.

    >>> kind_of(Path("."))
    'folder'
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be looked up ({reason(error)})", path=path) from None
    if stat.S_ISREG(mode):
        return "file"
    return "folder" if stat.S_ISDIR(mode) else "special"


def reason(error: OSError | ValueError) -> str:
    """Why a path or a file cannot be used, in a few words.

    >>> reason(FileNotFoundError(2, "No such file or directory"))
    'No such file or directory'
    """
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    if isinstance(error, UnicodeEncodeError):
        return "its name contains a lone surrogate"
    return "its name contains a NUL character" if "null" in str(error) else str(error)


def is_file(path: Path) -> bool:
    """Whether a path is that of a regular file; ``False`` for an impossible path.

    >>> is_file(Path(".")), is_file(Path("\\0"))
    (False, False)
    """
    try:
        return kind_of(path) == "file"
    except InputError:
        return False


def target_of(path: Path) -> Path:
    """Where a path leads, links followed; nothing need be there.

    Raises:
        InputError: As :func:`kind_of`.

    >>> target_of(Path("/")).is_absolute()
    True
    """
    kind_of(path)
    return Path(os.path.realpath(path))


def beside(path: Path, suffix: str) -> Path:
    """The path of a file beside another one: the same name with a suffix added.

    Links are followed, so it is beside the file that a link leads to.

    Raises:
        InputError: As :func:`kind_of`.

    >>> beside(Path("/nowhere/out.jsonl"), ".partial").name
    'out.jsonl.partial'
    """
    target = target_of(path)
    return target.with_name(f"{target.name}{suffix}")


def check_output(path: Path) -> None:
    """Make sure that a file can be written at ``path``, links followed.

    Raises:
        InputError: It is a folder, its folder does not exist or cannot be written to, or no file
            can have its name.

    >>> check_output(Path("/"))
    Traceback (most recent call last):
    llmner.errors.InputError: /: is a directory; give a file to write
    """
    kind = kind_of(path)
    if not path.name or kind == "folder":
        raise InputError("is a directory", path=path, hint="give a file to write")
    if kind == "special":
        return
    folder = target_of(path).parent
    if kind_of(folder) != "folder":
        raise InputError("its folder does not exist", path=path, hint="create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError("its folder cannot be written to", path=path)
