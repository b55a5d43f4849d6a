"""Asking about sentences and texts of any length: windows, votes, scores, and runs that survive.

How a prompt is worded is ``recipes``' to know, how a mention finds its place ``projection``'s.
"""

from llmner.extraction.extractor import Extraction, Extractor, SpanExtractor
from llmner.extraction.merging import WindowReply

__all__ = ["Extraction", "Extractor", "SpanExtractor", "WindowReply"]
