"""Work on labels: why a text has one. Which to give next and which are wrong will follow here."""

from llmner.labelling.explaining import Explanation, WordShare, explain

__all__ = ["Explanation", "WordShare", "explain"]
