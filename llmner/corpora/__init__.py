"""Corpora: files and data sets of labelled sentences, read and written, one module a format.

Offsets are converted to half-open code points here and stay that way. What the labels mean is
``schema``'s; what sentences are used for is everybody else's.
"""

from llmner.corpora._registry import CORPUS_FORMATS, guess_format, read_corpus, write_corpus
from llmner.corpora._types import BadRow, CorpusFormat, ReadStats
from llmner.corpora.hub import read_dataset

__all__ = [
    "CORPUS_FORMATS",
    "BadRow",
    "CorpusFormat",
    "ReadStats",
    "guess_format",
    "read_corpus",
    "read_dataset",
    "write_corpus",
]
