"""Projection: from what a reply claims to exact spans of the text, with an outcome for every claim.

:func:`project` takes mentions, :func:`project_reply` a raw reply. How replies are read is
``replies``' to know; how good the spans are is ``scoring``'s.
"""

from llmner._budget import Budget
from llmner.languages import is_particle
from llmner.projection._canonical import Canonical, canonical_surface, canonicalize
from llmner.projection._outcome import (
    AttributeKind,
    AttributeOutcome,
    LabelOutcome,
    LabelOutcomeKind,
    Outcome,
    OutcomeKind,
    Policy,
    PolicyFields,
)
from llmner.projection._project import project, project_read, project_reply
from llmner.projection._projection import Projection

__all__ = [
    "AttributeKind",
    "AttributeOutcome",
    "Budget",
    "Canonical",
    "LabelOutcome",
    "LabelOutcomeKind",
    "Outcome",
    "OutcomeKind",
    "Policy",
    "PolicyFields",
    "Projection",
    "canonical_surface",
    "canonicalize",
    "is_particle",
    "project",
    "project_read",
    "project_reply",
]
