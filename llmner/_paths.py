"""What stands for a path may be none at all, or lead anywhere: looking at one without being
surprised.

Knows nothing of what files hold.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Literal

from llmner.errors import InputError

__all__ = ["beside", "check_output", "is_file", "kind_of", "reason", "target_of"]


def kind_of(path: Path) -> Literal["missing", "file", "folder", "special"]:
    """What lies at a path, links followed; ``special`` is a device, a pipe or a socket.

    Raises:
        InputError: No path can be such, its links go in a circle, or a folder on the way may not be
            entered.
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
    """Why a path or a file will not do, in a few words."""
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    if isinstance(error, UnicodeEncodeError):
        return "half a surrogate pair is in its name"
    return "a NUL character is in its name" if "null" in str(error) else str(error)


def is_file(path: Path) -> bool:
    """Whether a regular file lies at a path. Whatever cannot be such a path is none."""
    try:
        return kind_of(path) == "file"
    except InputError:
        return False


def target_of(path: Path) -> Path:
    """Where a path leads: links followed, the last of which may lead to nothing yet.

    Raises:
        InputError: As :func:`kind_of`.
    """
    kind_of(path)
    return Path(os.path.realpath(path))


def beside(path: Path, suffix: str) -> Path:
    """The file that lies beside the one a path leads to, and has its name and a suffix.

    Raises:
        InputError: As :func:`kind_of`.
    """
    target = target_of(path)
    return target.with_name(f"{target.name}{suffix}")


def check_output(path: Path) -> None:
    """Make sure that a file can be written at ``path``.

    Raises:
        InputError: It is a folder, its folder does not exist or cannot be written to, or it has no
            name a file can have. Links are followed.
    """
    kind = kind_of(path)
    if not path.name or kind == "folder":
        raise InputError("is a directory", path=path, hint="give a file to write")
    if kind == "special":
        return
    folder = target_of(path).parent
    if kind_of(folder) != "folder":
        raise InputError("its folder does not exist", path=path, hint="make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError("its folder cannot be written to", path=path)
