"""A linear-chain conditional random field over a network's scores, in batches.

Lafferty, McCallum and Pereira (2001); forward-backward and Viterbi as in any textbook, in
logarithms. Every function takes O(length * tags²) a sequence.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from llmner.tagging import follows

__all__ = ["LinearChain"]

# Of what the scheme forbids: low enough never to win, and finite, for gradients' sake.
_FORBIDDEN = -1e4


class LinearChain(nn.Module):  # type: ignore[misc]
    """Scores of tag sequences: those of each tag at its place, and of each tag after another.

    Sequences lie in batches, short ones padded at their end; ``mask`` is true where a sequence is.

    Args:
        tags: The tags, BIOES; what the scheme forbids has no probability worth the name.
    """

    forbidden: Tensor
    forbidden_first: Tensor
    forbidden_last: Tensor

    def __init__(self, tags: Sequence[str]) -> None:
        super().__init__()
        size = len(tags)
        self.between = nn.Parameter(torch.zeros(size, size))
        self.first = nn.Parameter(torch.zeros(size))
        self.last = nn.Parameter(torch.zeros(size))
        for name, allowed in (
            ("forbidden", [[follows(one, other) for other in tags] for one in tags]),
            ("forbidden_first", [follows(None, tag) for tag in tags]),
            ("forbidden_last", [follows(tag, None) for tag in tags]),
        ):
            self.register_buffer(
                name, (~torch.tensor(allowed)).float() * _FORBIDDEN, persistent=False
            )

    def loss(self, scores: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Negative log-likelihood of tag sequences, in nats a sequence.

        Args:
            scores: (batch, length, tags).
            tags: (batch, length), numbers of tags.
            mask: (batch, length), boolean.

        Returns:
            (batch,).
        """
        between, first, last = self._edges()
        own = scores.gather(-1, tags[..., None]).squeeze(-1) * mask
        moves = between[tags[:, :-1], tags[:, 1:]] * mask[:, 1:]
        ends = tags.gather(1, mask.sum(1, keepdim=True) - 1).squeeze(1)
        right = first[tags[:, 0]] + own.sum(1) + moves.sum(1) + last[ends]
        return torch.logsumexp(self._forward(scores, mask)[-1] + last, -1) - right

    def marginals(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Probability of each tag at each place: (batch, length, tags); rows beyond a sequence mean
        nothing.
        """
        between, _, last = self._edges()
        forward = self._forward(scores, mask)
        after = last.expand_as(forward[-1])
        backward = [after]
        for at in range(scores.shape[1] - 1, 0, -1):
            step = torch.logsumexp(between + (scores[:, at] + after)[:, None], -1)
            after = torch.where(mask[:, at, None], step, after)
            backward.append(after)
        held = torch.stack(forward, 1) + torch.stack(backward[::-1], 1)
        return torch.softmax(held, -1)

    def decode(self, scores: Tensor, mask: Tensor) -> list[list[int]]:
        """The likeliest tag sequence of each row (Viterbi); of equals, the one with the lower tag
        numbers.
        """
        between, first, last = self._edges()
        best = first + scores[:, 0]
        came: list[Tensor] = []
        for at in range(1, scores.shape[1]):
            value, source = (best[:, :, None] + between).max(1)
            came.append(source)
            best = torch.where(mask[:, at, None], value + scores[:, at], best)
        at_end = (best + last).argmax(-1).tolist()
        sources = [source.tolist() for source in came]
        paths = []
        for row, (length, tag) in enumerate(zip(mask.sum(1).tolist(), at_end, strict=True)):
            path = [tag]
            for at in range(length - 2, -1, -1):
                tag = sources[at][row][tag]
                path.append(tag)
            paths.append(path[::-1])
        return paths

    def _edges(self) -> tuple[Tensor, Tensor, Tensor]:
        return (
            self.between + self.forbidden,
            self.first + self.forbidden_first,
            self.last + self.forbidden_last,
        )

    def _forward(self, scores: Tensor, mask: Tensor) -> list[Tensor]:
        """For each place, the log of the summed weight of what ends there in each tag: (batch,
        tags).
        """
        between, first, _ = self._edges()
        sums = first + scores[:, 0]
        found = [sums]
        for at in range(1, scores.shape[1]):
            step = torch.logsumexp(sums[:, :, None] + between, 1) + scores[:, at]
            sums = torch.where(mask[:, at, None], step, sums)
            found.append(sums)
        return found
