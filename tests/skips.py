"""Which tests may be skipped in continuous integration, and why. No test passes there by being
skipped.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

__all__ = ["ALLOWED", "not_allowed"]

ALLOWED = (
    # An environment of its own: make test-vllm.
    r"vLLM is not installed here",
    r"vLLM reads settings by itself",
    r"no CUDA device",
    # KLUE and others may not be given on: a copy of the repository alone has none of them.
    *([r"shared data is not at hand"] if os.environ.get("LLMNER_WITHOUT_DATA") else []),
)
"""Beginnings of the reasons."""


def not_allowed(reasons: Iterable[str]) -> list[str]:
    """Reasons of skips that continuous integration does not take.

    >>> not_allowed(["no CUDA device", "shared data is not at hand: x.tsv"])
    ['shared data is not at hand: x.tsv']
    """
    return [
        reason for reason in reasons if not any(re.match(allowed, reason) for allowed in ALLOWED)
    ]
