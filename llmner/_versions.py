"""The versions that decide a run's numbers."""

from __future__ import annotations

import platform
from importlib import metadata

__all__ = ["versions"]

_DECISIVE = ("llmner", "torch", "transformers", "peft", "trl", "accelerate", "bitsandbytes")


def versions(*others: str) -> dict[str, str]:
    """Versions of what decides a run's numbers (``others`` too), and of Python."""
    result = {"python": platform.python_version()}
    for name in (*_DECISIVE, *others):
        try:
            result[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return result
