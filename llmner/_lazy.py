"""Names that a module imports when they are first used.

Either their module is slow to import, or they moved to a package that this one must not import when
it is loaded (packages import only those below them). Their old import paths keep working.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy_names", "moved"]


def lazy_names(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's ``__getattr__`` for names that are defined in other modules.

    Args:
        module: The module's ``__name__``.
        homes: The module that defines each name.

    >>> import llmner
    >>> lookup = lazy_names("llmner", {"score": "llmner.scoring"})
    >>> lookup("score").__module__
    'llmner.scoring._scores'
    """

    def lookup(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(sys.modules[module], name, value)
        return value

    return lookup


def moved(module: str, home: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module that was renamed; warns that it is deprecated.

    Args:
        module: The module's old name.
        home: Its new name.
    """
    warnings.warn(f"{module} is {home} now", DeprecationWarning, stacklevel=3)

    def lookup(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(import_module(home), name)

    return lookup
