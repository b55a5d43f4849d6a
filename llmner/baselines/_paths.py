"""The best path through a chain of tags, and the probabilities of its tags, with numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Edges", "best_path", "path_marginals"]


@dataclass(frozen=True, slots=True)
class Edges:
    """The scores of a chain's transitions, first tags and last tags.

    What the tags' scheme forbids is in them.

    Attributes:
        between: (tags, tags).
        first: (tags,).
        last: (tags,).
    """

    between: NDArray[Any]
    first: NDArray[Any]
    last: NDArray[Any]


def best_path(scores: NDArray[Any], edges: Edges) -> list[int]:
    """The most probable sequence of tags (Viterbi); lower numbers win ties.

    Args:
        scores: (places, tags).
        edges: The scores of transitions.

    >>> free = Edges(np.zeros((2, 2)), np.zeros(2), np.zeros(2))
    >>> best_path(np.array([[1.0, 0.0], [0.0, 1.0]]), free)
    [0, 1]
    """
    best = edges.first + scores[0]
    sources = []
    for row in scores[1:]:
        paths = best[:, None] + edges.between
        sources.append(paths.argmax(0))
        best = paths.max(0) + row
    path = [int((best + edges.last).argmax())]
    for source in reversed(sources):
        path.append(int(source[path[-1]]))
    return path[::-1]


def path_marginals(scores: NDArray[Any], edges: Edges) -> NDArray[Any]:
    """The probability of each tag at each place: (places, tags), by forward and backward sums.

    >>> free = Edges(np.zeros((2, 2)), np.zeros(2), np.zeros(2))
    >>> path_marginals(np.zeros((3, 2)), free).round(6).tolist()
    [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]
    """
    forward, backward = [edges.first + scores[0]], [edges.last]
    for row in scores[1:]:
        forward.append(_log_sum(forward[-1][:, None] + edges.between, 0) + row)
    for row in scores[:0:-1]:
        backward.append(_log_sum(edges.between + (row + backward[-1])[None], 1))
    weights = np.array(forward) + np.array(backward[::-1])
    return np.asarray(np.exp(weights - _log_sum(weights, 1)[:, None]))


def _log_sum(values: NDArray[Any], axis: int) -> NDArray[Any]:
    return np.asarray(np.logaddexp.reduce(values, axis))
