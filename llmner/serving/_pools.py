"""Bounds what slow clients hold: when there is too much, the oldest one is dropped.

This module knows neither requests nor sockets. Members say how many bytes they hold, and how to
drop them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["EvictingPool", "Member"]


@dataclass(eq=False, slots=True)
class Member:
    """One client that the server waits for.

    Attributes:
        evict: Drops the client.
        size: Bytes that it holds.
    """

    evict: Callable[[], None]
    size: int = 0


class EvictingPool:
    """Clients that hold memory while the server waits for them to send or to read.

    When there are too many of them, or they hold too much together, the one that has been there
    longest is dropped. A newcomer is never refused. So clients that send a byte now and then cannot
    keep others out, and a fast client is gone before its turn to be dropped comes.

    Args:
        members: Most members at the same time.
        size: Most bytes that they may hold together.
    """

    def __init__(self, members: int, size: int) -> None:
        self.members = members
        self.size = size
        self.total = 0
        # A dict keeps the order in which they came.
        self._inside: dict[Member, None] = {}

    def __len__(self) -> int:
        """Number of members."""
        return len(self._inside)

    def enter(self, evict: Callable[[], None], size: int = 0) -> Member:
        """Add a member. It may be dropped at once, if it alone holds too much."""
        member = Member(evict)
        self._inside[member] = None
        self.grow(member, size)
        return member

    def grow(self, member: Member, size: int) -> None:
        """Note that a member holds ``size`` more bytes."""
        if member not in self._inside:
            return
        member.size += size
        self.total += size
        while len(self._inside) > self.members or self.total > self.size:
            oldest = next(iter(self._inside))
            self.leave(oldest)
            oldest.evict()

    def shrink(self, member: Member) -> None:
        """Note that a member holds nothing any more, though it stays."""
        if member in self._inside:
            self.total -= member.size
            member.size = 0

    def leave(self, member: Member) -> None:
        """Remove a member. Removing it again does nothing."""
        if member in self._inside:
            del self._inside[member]
            self.total -= member.size
