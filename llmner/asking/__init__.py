"""How texts are asked about: every option with its default, and the extractor that comes of them.

The command line, the server, the YAML of ``compare-models`` and Python all go through here. What an
option does is for the rooms below to know.

>>> AskOptions.of(engine="openai", window=200).flat()["overlap"]
80
"""

from llmner.asking.building import Asking, build, build_baseline, prepare
from llmner.asking.options import AskOptions, is_baseline

__all__ = ["AskOptions", "Asking", "build", "build_baseline", "is_baseline", "prepare"]
