"""Where this was before 0.2; its names are in ``llmner.extraction.windows``."""

from llmner._lazy import moved

__getattr__ = moved(__name__, "llmner.extraction.windows")
