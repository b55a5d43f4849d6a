"""Reading files of an uploaded folder, and removing paths of this machine from their contents."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llmner._yaml import load_yaml
from llmner.errors import InputError
from llmner.hub.licences import last_part

__all__ = ["is_regular", "read_mapping", "read_optional", "without_file_names", "without_paths"]

_ABSOLUTE = re.compile(r"(?:/|~|\\\\|[A-Za-z]:[\\/]|file://)")


def is_regular(path: Path) -> bool:
    """Whether a path is a regular file, and not a link to one."""
    return path.is_file() and not path.is_symlink()


def without_paths(value: Any) -> Any:
    """A value from JSON with every absolute path in it shortened to its last part.

    >>> without_paths({"model": "/home/me/models/gemma", "epochs": 3})
    {'model': 'gemma', 'epochs': 3}
    """
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    if isinstance(value, str) and _ABSOLUTE.match(value):
        return last_part(value)
    return value


def without_file_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """A tokenizer's or model's configuration without this machine's folders.

    Only fields whose names end in ``_path``, ``_file`` or ``_dir`` are changed.

    >>> without_file_names({"tokenizer_file": "/home/me/t.json", "bos_token": "/s"})
    {'tokenizer_file': 't.json', 'bos_token': '/s'}
    """
    return {
        key: without_paths(value) if key.endswith(("_path", "_file", "_dir")) else value
        for key, value in config.items()
    }


def read_optional(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    """Read a file as :func:`read_mapping` does; an empty object if it is not there."""
    return read_mapping(path, parse) if is_regular(path) else {}


def read_mapping(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    """Read a JSON or YAML file that must contain one object.

    Raises:
        InputError: It cannot be read, or contains something else.
    """
    kind = "YAML" if parse is load_yaml else "JSON"
    try:
        value = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no such file", path=path) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path=path) from None
    except InputError as error:
        raise InputError(error.problem, path=path, line=error.line) from None
    except (ValueError, RecursionError):
        raise InputError(f"not {kind}", path=path) from None
    if not isinstance(value, dict):
        raise InputError(f"expected an object, got a {type(value).__name__}", path=path)
    if not all(isinstance(key, str) for key in value):
        raise InputError("has keys that are not strings", path=path)
    return value
