"""Engines by name: ours, and those that other packages bring through the entry point
``llmner.engines``.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from llmner._plugins import load_plugin, plugins
from llmner.engines._types import Engine, Generator
from llmner.errors import UnknownNameError

__all__ = ["ENGINES", "create_generator", "engine_class", "engine_names", "options_taken"]

ENGINES: dict[str, str] = {
    "transformers": "llmner.engines.transformers_engine:TransformersGenerator",
    "vllm": "llmner.engines.vllm_engine:VllmGenerator",
    "openai": "llmner.engines.openai_engine:OpenAIGenerator",
    "recorded": "llmner.engines.recorded:RecordedGenerator",
}
"""Engine names and where their classes live; a name is imported only when it is asked for."""

_GROUP = "llmner.engines"


def engine_names() -> list[str]:
    """Names of all engines that are installed.

    >>> engine_names()[:3]
    ['transformers', 'vllm', 'openai']
    """
    return [*ENGINES, *plugins(_GROUP, ENGINES)]


def engine_class(name: str) -> type[Engine]:
    """The class of an engine; its module is imported, and no library that it loads later.

    Raises:
        UnknownNameError: No engine is called so.
        InputError: Another package's cannot be imported.
    """
    if name in ENGINES:
        module, _, attribute = ENGINES[name].partition(":")
        engine: type[Engine] = getattr(import_module(module), attribute)
        return engine
    others = plugins(_GROUP, ENGINES)
    if name not in others:
        raise UnknownNameError(
            f"unknown engine {name!r}", hint=f"expected one of {', '.join([*ENGINES, *others])}"
        )
    plugin: type[Engine] = load_plugin(others[name])
    return plugin


def options_taken(engine: type[Engine]) -> dict[str, str]:
    """The options that an engine's constructor takes, each with the name of its parameter."""
    names = inspect.signature(engine).parameters
    taken = {name: name for name in names}
    return taken | {option: name for option, name in engine.parameters.items() if name in names}


def create_generator(name: str, **options: Any) -> Generator:
    """An engine by name; options are those of its class.

    Raises:
        UnknownNameError: No such engine.
        MissingExtraError: The engine's libraries are not installed.
        TypeError: An option it does not have.
    """
    return engine_class(name)(**options)
