"""Engines answer prompts. They follow one small protocol, and each engine is one module.

A new engine is a new module here, ``NAME_engine.py``, that sets ``ENGINE`` to its class; nothing
else is told of it. ``docs/contributing.md`` shows a whole one.

Engines take and give text; the package ``replies`` reads what a reply means. An engine's module is
imported when the engine is used, and heavy libraries when it starts to work.
"""

from llmner.engines._registry import ENGINES, create_generator, engine_names
from llmner.engines._types import Capabilities, Engine, Generator, Reply, Token

__all__ = [
    "ENGINES",
    "Capabilities",
    "Engine",
    "Generator",
    "Reply",
    "Token",
    "create_generator",
    "engine_names",
]
