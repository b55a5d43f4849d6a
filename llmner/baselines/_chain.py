"""A linear-chain conditional random field over the scores of a network, in batches.

Lafferty, McCallum and Pereira (2001), with textbook forward-backward and Viterbi algorithms in
logarithms. Every function takes O(length * tags²) per sequence.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from llmner.tagging import follows

__all__ = ["LinearChain"]

# The score of what the scheme forbids: low enough never to win, but finite because of gradients.
_FORBIDDEN = -1e4


class LinearChain(nn.Module):  # type: ignore[misc]
    """Scores tag sequences: the score of each tag at its place, plus that of each transition.

    Sequences are in batches, and short ones are padded at the end; ``mask`` is false for padding.

    Args:
        tags: The tags, BIOES. Sequences that the scheme forbids have a probability of almost 0.
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
            ("forbidden", [[follows(tag, following) for following in tags] for tag in tags]),
            ("forbidden_first", [follows(None, tag) for tag in tags]),
            ("forbidden_last", [follows(tag, None) for tag in tags]),
        ):
            self.register_buffer(
                name, (~torch.tensor(allowed)).float() * _FORBIDDEN, persistent=False
            )

    def loss(self, scores: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Negative log-likelihood of tag sequences, in nats per sequence.

        Args:
            scores: (batch, length, tags) scores.
            tags: (batch, length) numbers of tags.
            mask: (batch, length), false for padding.

        Returns:
            (batch,) losses.
        """
        between, first, last = self.edges()
        emissions = scores.gather(-1, tags[..., None]).squeeze(-1) * mask
        transitions = between[tags[:, :-1], tags[:, 1:]] * mask[:, 1:]
        final_tags = tags.gather(1, mask.sum(1, keepdim=True) - 1).squeeze(1)
        path_scores = first[tags[:, 0]] + emissions.sum(1) + transitions.sum(1) + last[final_tags]
        return torch.logsumexp(self._forward(scores, mask)[-1] + last, -1) - path_scores

    def marginals(self, scores: Tensor, mask: Tensor) -> Tensor:
        """The probability of each tag at each place: (batch, length, tags).

        Values in the padding are meaningless.
        """
        between, _, last = self.edges()
        forward = self._forward(scores, mask)
        after = last.expand_as(forward[-1])
        backward = [after]
        for place in range(scores.shape[1] - 1, 0, -1):
            step = torch.logsumexp(between + (scores[:, place] + after)[:, None], -1)
            after = torch.where(mask[:, place, None], step, after)
            backward.append(after)
        weights = torch.stack(forward, 1) + torch.stack(backward[::-1], 1)
        return torch.softmax(weights, -1)

    def decode(self, scores: Tensor, mask: Tensor) -> list[list[int]]:
        """The most probable tag sequence of each row (Viterbi); lower tag numbers win ties."""
        between, first, last = self.edges()
        best = first + scores[:, 0]
        backpointers: list[Tensor] = []
        for place in range(1, scores.shape[1]):
            value, source = (best[:, :, None] + between).max(1)
            backpointers.append(source)
            best = torch.where(mask[:, place, None], value + scores[:, place], best)
        final_tags = (best + last).argmax(-1).tolist()
        sources = [source.tolist() for source in backpointers]
        paths = []
        for row, (length, tag) in enumerate(zip(mask.sum(1).tolist(), final_tags, strict=True)):
            path = [tag]
            for place in range(length - 2, -1, -1):
                tag = sources[place][row][tag]
                path.append(tag)
            paths.append(path[::-1])
        return paths

    def edges(self) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of transitions (tags, tags), first tags (tags,) and last tags (tags,)."""
        return (
            self.between + self.forbidden,
            self.first + self.forbidden_first,
            self.last + self.forbidden_last,
        )

    def _forward(self, scores: Tensor, mask: Tensor) -> list[Tensor]:
        """The forward scores of each place: (batch, tags) log-sums over all sequences up to it."""
        between, first, _ = self.edges()
        sums = first + scores[:, 0]
        forward = [sums]
        for place in range(1, scores.shape[1]):
            step = torch.logsumexp(sums[:, :, None] + between, 1) + scores[:, place]
            sums = torch.where(mask[:, place, None], step, sums)
            forward.append(sums)
        return forward
