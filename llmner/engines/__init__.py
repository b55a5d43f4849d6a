"""Engines: what answers prompts. One small protocol, and one module an engine.

Engines know prompts and replies as text. What a reply means is ``replies``' to say. Heavy libraries
are imported when an engine starts to work, not before.
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
