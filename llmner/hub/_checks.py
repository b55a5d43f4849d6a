"""Checks before an upload: the repository's name, weights, and tokens in files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmner.errors import InputError

__all__ = ["Content", "check_weights", "checked_repo", "read_bytes", "refuse_secrets"]


Content = bytes | Path

# The Hub's rule for names. It does not allow "--", ".." and a final ".git" either.
_NAME = re.compile(r"[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?", re.ASCII)

_TOKEN = re.compile(rb"hf_[A-Za-z0-9]{30,}")

_OPTIMIZER = re.compile(
    r"(?:^|[._/])(?:optimizer|exp_avg|exp_avg_sq|momentum_buffer|lr_scheduler)(?:$|[._/])"
)

_LONGEST_HEADER = 100_000_000


def checked_repo(repo: str) -> str:
    """Check the name of a repository, and return it.

    Raises:
        InputError: The Hub would not accept it.

    >>> checked_repo("me/ner")
    'me/ner'
    """
    hint = "expected USER/NAME of letters, digits, '-', '_' and '.'"
    owner, slash, name = repo.partition("/")
    if not slash:
        raise InputError(f"{repo!r} has no owner", hint=hint)
    wrong = "--" in repo or ".." in repo or repo.endswith(".git")
    if wrong or not (_NAME.fullmatch(owner) and _NAME.fullmatch(name)):
        raise InputError(f"{repo!r} is not a valid name of a repository", hint=hint)
    return repo


def check_weights(path: Path) -> None:
    """Make sure that a file is whole, is safetensors, and contains no optimiser state.

    Raises:
        InputError: It is not, or its header contains what looks like a token.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header: Any = None
        if 0 < length <= min(size - 8, _LONGEST_HEADER):
            source = stream.read(length)
            try:
                header = json.loads(source)
            except (ValueError, RecursionError):
                header = None
    if not isinstance(header, dict):
        raise InputError("not a safetensors file", path=path, hint="save the adapter again")
    if _TOKEN.search(source):
        raise InputError("contains what looks like a token of the Hub", path=path, hint="remove it")
    about = header.pop("__metadata__", None)
    try:
        end = max((entry["data_offsets"][1] for entry in header.values()), default=None)
    except (LookupError, TypeError):
        end = None
    if end != size - 8 - length:
        raise InputError(
            "is cut short, or has no tensors", path=path, hint="save the adapter again"
        )
    for name in [*header, *(about if isinstance(about, dict) else ())]:
        if _OPTIMIZER.search(name):
            raise InputError(
                f"contains optimiser state ({name})", path=path, hint="save the adapter alone"
            )


def refuse_secrets(folder: Path, contents: Mapping[str, Content]) -> None:
    """Make sure that no file but the weights contains a token of the Hub.

    Raises:
        InputError: A file contains what looks like one.

    >>> refuse_secrets(Path("build"), {"notes.txt": b"token: " + b"hf_" + b"a" * 34})
    Traceback (most recent call last):
    llmner.errors.InputError: build/notes.txt: contains what looks like a token of the Hub; ...
    """
    for name, content in contents.items():
        # check_weights looks at the header of weights.
        if name.endswith((".safetensors", ".crfsuite")):
            continue
        if _TOKEN.search(content if isinstance(content, bytes) else read_bytes(content)):
            raise InputError(
                "contains what looks like a token of the Hub",
                path=folder / name,
                hint="remove it, and revoke it if it is one",
            )


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        InputError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path=path) from None
