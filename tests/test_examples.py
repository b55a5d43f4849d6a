"""The examples in docstrings run, and say what they show."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from concurrent.futures import ThreadPoolExecutor

import pytest

import llmner

# Modules of old names warn, and these run something.
_LEFT_OUT = (
    "llmner.__main__",
    "llmner.cli.__main__",
    "llmner.generation",
    "llmner.windows",
    "llmner.confidence",
)
_OLD = (*_LEFT_OUT, "llmner.runs", "llmner.chat")
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(llmner.__path__, "llmner.", onerror=lambda name: None)
    if module.name not in _OLD
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("llmner"):
            raise
        pytest.skip(
            f"vLLM is not installed here ({error.name})"
        ) if error.name == "vllm" else pytest.fail(str(error))
    with ThreadPoolExecutor(1) as apart:
        # An example may start an event loop; the browser of other tests has one in this thread.
        failures, _ = apart.submit(
            doctest.testmod, module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        ).result()
    assert failures == 0
