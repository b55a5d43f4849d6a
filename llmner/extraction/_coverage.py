"""What a run read and what it cost: characters, answers that were cut, mentions, tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmner.engines import Reply
    from llmner.extraction._extraction import Extraction

__all__ = ["Coverage", "replies_of"]


@dataclass(slots=True)
class Coverage:
    """What was read of the texts of a run, and what it cost.

    Attributes:
        characters: Characters of all texts.
        unread: Characters that no answer is about.
        windows: Questions about windows of long texts, or about texts that were asked about again.
        windows_failed: Those that have no answer.
        cut: Answers that were cut off at the limit of tokens; what came after is missing.
        mentions: Mentions in all answers.
        unplaced: Those that have no place in their text.
        asked: Texts whose tokens are counted: those of this process, if the engine counts.
        prompt_tokens: Tokens of their questions.
        completion_tokens: Tokens of their answers.

    >>> coverage = Coverage()
    >>> coverage.add({"text": "손흥민은", "reply": "PS: 손", "finish_reason": "length"})
    >>> coverage.cut, coverage.is_whole
    (1, False)
    """

    characters: int = 0
    unread: int = 0
    windows: int = 0
    windows_failed: int = 0
    cut: int = 0
    mentions: int = 0
    unplaced: int = 0
    asked: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether every question was answered to its end."""
        return not (self.unread or self.windows_failed or self.cut)

    def add(self, row: Mapping[str, Any]) -> None:
        """Count the row of a text."""
        text = row.get("text")
        length = len(text) if isinstance(text, str) else 0
        self.characters += length
        windows = row.get("windows") or ()
        parts = [part for part in windows if isinstance(part, Mapping)]
        self.windows += len(parts)
        failed = [part for part in parts if part.get("error") is not None]
        self.windows_failed += len(failed)
        if row.get("error") is not None and len(failed) == len(parts):
            self.unread += length
        else:
            self.unread += _unread(length, parts) if failed else 0
        self.cut += sum(part.get("finish_reason") == "length" for part in parts or (row,))
        outcomes = [own for own in row.get("outcomes") or () if isinstance(own, Mapping)]
        self.mentions += len(outcomes)
        self.unplaced += sum(own.get("start") is None for own in outcomes)

    def ask(self, extraction: Extraction) -> None:
        """Count the tokens of an extraction, if its engine counts them."""
        replies = replies_of(extraction)
        counts = [(reply.prompt_tokens, reply.completion_tokens) for reply in replies]
        if any(prompt is not None for prompt, _ in counts):
            self.asked += 1
            self.prompt_tokens += sum(prompt or 0 for prompt, _ in counts)
            self.completion_tokens += sum(completion or 0 for _, completion in counts)

    def usage(self) -> dict[str, int]:
        """The tokens, for the record of a run; nothing if none are counted."""
        if not self.asked:
            return {}
        return {
            "sentences": self.asked,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }

    def __str__(self) -> str:
        parts = [f"{self.characters:,} characters"]
        if self.mentions:
            unplaced = f", {self.unplaced:,} without a place" if self.unplaced else ""
            parts.append(f"{self.mentions:,} mentions{unplaced}")
        if self.asked:
            parts.append(
                f"{self.prompt_tokens:,} tokens asked and {self.completion_tokens:,} answered"
            )
        return "; ".join(parts)


def _unread(length: int, windows: Sequence[Mapping[str, Any]]) -> int:
    """How many characters of a text are in no window that has an answer."""
    unread = bytearray(b"\1") * length
    for window in windows:
        if window.get("error") is None:
            start, end = int(window["start"]), min(int(window["end"]), length)
            unread[start:end] = bytes(max(0, end - start))
    return sum(unread)


def replies_of(extraction: Extraction) -> list[Reply]:
    """All replies about a text: those of every window and of every sample."""
    return [
        reply
        for part in extraction.windows or (extraction,)
        for reply in part.samples or (part.reply,)
    ]
