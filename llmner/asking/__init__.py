"""The options of asking a model about texts, and building an extractor from them.

The command line, the server, the YAML of ``compare-models`` and Python share these options and
their defaults. The packages below implement what each option does.

>>> AskOptions.of(engine="openai", window=200).flat()["concurrency"]
32
"""

from llmner.asking.building import Asking, build, build_baseline, in_language_of, prepare
from llmner.asking.one_call import AskFields, aextract, extract
from llmner.asking.options import AskOptions, is_baseline

__all__ = [
    "AskFields",
    "AskOptions",
    "Asking",
    "aextract",
    "build",
    "build_baseline",
    "extract",
    "in_language_of",
    "is_baseline",
    "prepare",
]
