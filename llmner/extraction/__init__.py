"""Extraction: asking an engine about texts of any length, and keeping what it answers.

Long texts are asked about in windows. Spans get scores, several samples can vote, and a run that
was interrupted can be resumed. ``recipes`` writes the prompts, and ``projection`` finds the
mentions in the text.
"""

from llmner.extraction._extraction import Extraction, SpanExtractor
from llmner.extraction.extractor import Extractor
from llmner.extraction.merging import WindowReply

__all__ = ["Extraction", "Extractor", "SpanExtractor", "WindowReply"]
