"""Names that are imported when they are first used: because they are heavy, or because they moved
upstairs.

A room knows none of those above it. Names that it had before they moved go on working all the same.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy_names", "moved"]


def lazy_names(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's ``__getattr__`` for names that live elsewhere.

    Args:
        module: The module.
        homes: The module that each name lives in.
    """

    def lookup(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(sys.modules[module], name, value)
        return value

    return lookup


def moved(module: str, home: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module whose names are all in another one by now. Says so once.

    Args:
        module: The module.
        home: Where its names live.
    """
    warnings.warn(f"{module} is {home} now", DeprecationWarning, stacklevel=3)

    def lookup(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(import_module(home), name)

    return lookup
