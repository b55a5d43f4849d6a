"""What counts as a number in JSON and YAML: true and false do not, though Python says so."""

from __future__ import annotations

import math
from typing import Any, TypeGuard

__all__ = ["is_number", "is_whole", "not_bool"]


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number.

    >>> is_whole(3), is_whole(True)
    (True, False)
    """
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a finite number.

    >>> is_number(0.5), is_number(float("nan"))
    (True, False)
    """
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def not_bool(value: Any) -> Any:
    """Refuse true and false in a field for numbers; a pydantic validator.

    pydantic itself takes true for 1 and false for 0.

    Raises:
        ValueError: The value is true or false.

    >>> not_bool(3)
    3
    """
    if isinstance(value, bool):
        raise ValueError(f"expected a number, got {str(value).lower()}")
    return value
