"""What is a number in JSON, YAML and Python: true and false are none, though Python counts with
them.
"""

from __future__ import annotations

import math
from typing import Any, TypeGuard

__all__ = ["is_number", "is_whole", "not_bool"]


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a finite number."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def not_bool(value: Any) -> Any:
    """The value, for a field that is no switch; to be called by pydantic, which takes true for 1.

    Raises:
        ValueError: It is true or false.
    """
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is no value that it can have")
    return value
