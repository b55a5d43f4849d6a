"""Versions of the software that a run's results depend on."""

from __future__ import annotations

import platform
from importlib import metadata

__all__ = ["versions"]

_DECISIVE = ("llmner", "torch", "transformers", "peft", "trl", "accelerate", "bitsandbytes")


def versions(*others: str) -> dict[str, str]:
    """Versions of Python and of the installed packages that results depend on.

    Args:
        *others: Further packages to list.

    >>> sorted(versions("pyyaml"))[:2]
    ['accelerate', 'bitsandbytes']
    """
    result = {"python": platform.python_version()}
    for name in (*_DECISIVE, *others):
        try:
            result[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return result
