"""Engines by name: our own, and those of other packages (entry points ``llmner.engines``).

An engine of ours is one module here, ``NAME_engine.py``, that sets ``ENGINE`` to its class. The
modules are found by their file names, so that nothing is imported before an engine is used.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

from llmner._plugins import load_plugin, own_modules, plugins
from llmner._shown import expected_one_of
from llmner.engines._types import Engine, Generator
from llmner.errors import UnknownNameError

__all__ = ["ENGINES", "create_generator", "engine_class", "engine_names", "options_taken"]

_GROUP = "llmner.engines"
_SUFFIX = "_engine"
# The order in which engines are listed; engines that are not named here come after, by name.
_ORDER = ("transformers", "vllm", "openai", "recorded")


ENGINES: dict[str, str] = {
    name: f"{__package__}.{name}{_SUFFIX}:ENGINE"
    for name in own_modules([str(Path(__file__).parent)], _ORDER, _SUFFIX)
}
"""Where the class of each engine is, as ``module:attribute``; nothing is imported yet."""


def engine_names() -> list[str]:
    """Names of all installed engines: our own first, then those of other packages.

    >>> engine_names()[:4]
    ['transformers', 'vllm', 'openai', 'recorded']
    """
    return [*ENGINES, *plugins(_GROUP, ENGINES)]


def engine_class(name: str) -> type[Engine]:
    """The class of an engine. Imports its module, but not the libraries that it uses later.

    >>> engine_class("vllm").capabilities.batch_size
    128

    Raises:
        UnknownNameError: There is no engine of that name.
        InputError: The engine of another package cannot be imported.
    """
    if name in ENGINES:
        module, _, attribute = ENGINES[name].partition(":")
        engine: type[Engine] = getattr(import_module(module), attribute)
        return engine
    others = plugins(_GROUP, ENGINES)
    if name not in others:
        raise UnknownNameError(
            f"unknown engine {name!r}", hint=expected_one_of(name, [*ENGINES, *others])
        )
    plugin: type[Engine] = load_plugin(others[name])
    return plugin


def options_taken(engine: type[Engine]) -> dict[str, str]:
    """The options that an engine's constructor takes, each with the name of its parameter.

    >>> options_taken(engine_class("recorded"))
    {'path': 'path', 'replies': 'path'}
    """
    parameters = inspect.signature(engine).parameters
    options = {name: name for name in parameters}
    return options | {
        option: name for option, name in engine.parameters.items() if name in parameters
    }


def create_generator(name: str, **options: Any) -> Generator:
    """Create an engine by name; options are the parameters of its class.

    Nothing is loaded yet: that happens with the first question.

    >>> engine = create_generator("transformers", model="gpt2", max_new_tokens=64)
    >>> engine.describe()["max_new_tokens"]
    64

    Raises:
        UnknownNameError: There is no engine of that name.
        MissingExtraError: The engine's libraries are not installed.
        TypeError: The engine has no such option.
    """
    return engine_class(name)(**options)
