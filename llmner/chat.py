"""Where this was before 0.2; its names are in ``llmner.recipes.chat``."""

from llmner._lazy import moved

__getattr__ = moved(__name__, "llmner.recipes.chat")
