"""Room for clients that keep the server waiting, by sending or by reading slowly: who came first
goes first.

It knows neither requests nor sockets: members say what they hold, and how they are let go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Crowd", "Member"]


@dataclass(eq=False, slots=True)
class Member:
    """One that waits: how much it holds, and what lets it go."""

    let_go: Callable[[], None]
    size: int = 0


class Crowd:
    """Members that hold memory while the server waits for their clients.

    When there are too many, or they hold too much, the one that has been there longest is let go. A
    newcomer is never refused: those who send a byte now and then would keep all others out, and
    whoever is quick is gone before its turn comes.

    Args:
        members: How many at most.
        size: How much they hold together at most, in bytes.
    """

    def __init__(self, members: int, size: int) -> None:
        self.members = members
        self.size = size
        self.held = 0
        # A dict keeps the order in which they came.
        self._inside: dict[Member, None] = {}

    def __len__(self) -> int:
        """Members that wait."""
        return len(self._inside)

    def enter(self, let_go: Callable[[], None], size: int = 0) -> Member:
        """A new member. It may itself be let go, where it holds too much alone."""
        member = Member(let_go)
        self._inside[member] = None
        self.grow(member, size)
        return member

    def grow(self, member: Member, size: int) -> None:
        """``member`` holds ``size`` more."""
        if member not in self._inside:
            return
        member.size += size
        self.held += size
        while len(self._inside) > self.members or self.held > self.size:
            oldest = next(iter(self._inside))
            self.leave(oldest)
            oldest.let_go()

    def shrink(self, member: Member) -> None:
        """``member`` holds nothing any more, but waits still."""
        if member in self._inside:
            self.held -= member.size
            member.size = 0

    def leave(self, member: Member) -> None:
        """``member`` waits no more; once is enough, more often does no harm."""
        if member in self._inside:
            del self._inside[member]
            self.held -= member.size
