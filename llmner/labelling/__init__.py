"""Work on labels: why a text has one. Which to give next and which are wrong will follow here."""

from llmner.labelling.explaining import Classifier, Explanation, WordShare, explain, explain_text

__all__ = ["Classifier", "Explanation", "WordShare", "explain", "explain_text"]
