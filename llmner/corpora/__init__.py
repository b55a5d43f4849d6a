"""Corpora: files and data sets of labelled sentences, read and written, and figures of them.

Every format is one module here, with a tuple ``FORMATS`` of its :class:`CorpusFormat` objects. The
registry finds it; nothing else is told of it. Modules that begin with ``_`` are what formats share.

Offsets are converted to half-open code points here and stay that way. What the labels mean is
``schema``'s; what sentences are used for is everybody else's.
"""

from llmner.corpora._compare import (
    CorpusComparison,
    LabelShift,
    Overlap,
    SharedSentence,
    ShiftTest,
    compare_corpora,
)

# Before the registry: it imports the formats, and a format may import these names from here.
from llmner.corpora._format import BadRow, CorpusFormat, ReadOptions, ReadStats
from llmner.corpora._losses import Losses
from llmner.corpora._registry import (
    CORPUS_FORMATS,
    corpus_formats,
    format_names,
    guess_format,
    is_file_name,
    read_corpus,
    write_corpus,
)
from llmner.corpora._stats import CorpusStats, LabelStats, Lengths, Place, corpus_stats
from llmner.corpora.hub import read_dataset
from llmner.corpora.words import from_words, word_tags

__all__ = [
    "CORPUS_FORMATS",
    "BadRow",
    "CorpusComparison",
    "CorpusFormat",
    "CorpusStats",
    "LabelShift",
    "LabelStats",
    "Lengths",
    "Losses",
    "Overlap",
    "Place",
    "ReadOptions",
    "ReadStats",
    "SharedSentence",
    "ShiftTest",
    "compare_corpora",
    "corpus_formats",
    "corpus_stats",
    "format_names",
    "from_words",
    "guess_format",
    "is_file_name",
    "read_corpus",
    "read_dataset",
    "word_tags",
    "write_corpus",
]
