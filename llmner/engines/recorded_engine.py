"""The ``recorded`` engine: replays a JSON Lines file of ``{"id", "text", "reply"}``.

The replies may come from anywhere: another program, another model, yesterday's run.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

from llmner.engines._types import Capabilities, Engine, RecordedReplies, Reply
from llmner.errors import CorpusError, MismatchError
from llmner.files import read_jsonl
from llmner.recipes.chat import Prompt

__all__ = ["RecordedGenerator"]


class RecordedGenerator(Engine):
    """Answers with recorded replies, found by id, or by text if a row has no id.

    Rows with the same id or text are used in the order of the file. If :meth:`covers` sees that the
    ids are not those of the sentences, but the texts are, replies are found by text. The whole file
    is kept in memory.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "replies.jsonl"
    ...     _ = path.write_text('{"text": "Anna sings", "reply": "PS: Anna"}')
    ...     engine = RecordedGenerator(path)
    >>> engine.generate([Prompt((), "", "", "Anna sings")])[0].text
    'PS: Anna'

    Args:
        path: The file. Rows need ``reply`` and one of ``id`` and ``text``. If a row has both, the
            text must be the prompt's.

    Raises:
        CorpusError: The file cannot be read, or a row has no reply.
    """

    # Replies were recorded for whole texts, whatever their length.
    capabilities = Capabilities(whole_texts=True, replays=True)
    parameters: ClassVar[dict[str, str]] = {"replies": "path"}

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path = Path(path)
        self._by_id: dict[str, deque[tuple[str, str | None]]] = {}
        self._by_text: dict[str, deque[str]] = {}
        self.by_text = False
        digest = hashlib.sha256()
        count = 0
        for number, row in read_jsonl(self._path):
            reply, text, id = row.get("reply"), row.get("text"), row.get("id", row.get("klue_id"))
            if not isinstance(reply, str):
                raise CorpusError(
                    "no 'reply'" if "reply" not in row else "'reply' is not a string",
                    path=path,
                    line=number,
                    hint='expected {"id", "text", "reply"}',
                )
            if id is not None:
                self._by_id.setdefault(str(id), deque()).append((reply, text))
            elif isinstance(text, str):
                self._by_text.setdefault(text, deque()).append(reply)
            else:
                raise CorpusError("neither 'id' nor 'text'", path=path, line=number)
            digest.update(reply.encode("utf-8", "surrogatepass"))
            count += 1
        if not count:
            raise CorpusError("holds no reply", path=path, hint="the file is empty")
        self._digest = digest.hexdigest()[:12]

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """The recorded reply of each prompt.

        Raises:
            MismatchError: A sentence has no recorded reply, or its reply is for another text.
        """
        return [Reply(self._find(prompt)) for prompt in prompts]

    def covers(self, sentences: Iterable[tuple[str | None, str]]) -> list[bool]:
        """For each (id, text), in this order, whether there is still a reply for it."""
        given = list(sentences)
        if not self.by_text and self._has_other_ids(given):
            self._forget_ids()
        return self._covered(given)

    def _has_other_ids(self, sentences: Sequence[tuple[str | None, str]]) -> bool:
        """Whether replies belong to these sentences by their texts, and not by their ids."""
        texts = dict(sentences)
        rows = [(id, text) for id, replies in self._by_id.items() for _, text in replies]
        if not rows or not all(isinstance(text, str) for _, text in rows):
            return False
        wrong = sum(texts.get(id) != text for id, text in rows)
        known = {text for _, text in sentences}
        return wrong > len(rows) / 2 and all(text in known for _, text in rows)

    def _forget_ids(self) -> None:
        self.by_text = True
        for replies in self._by_id.values():
            for reply, text in replies:
                assert text is not None
                self._by_text.setdefault(text, deque()).append(reply)
        self._by_id = {}

    def _covered(self, sentences: Sequence[tuple[str | None, str]]) -> list[bool]:
        ids = Counter({id: len(replies) for id, replies in self._by_id.items()})
        texts = Counter({text: len(replies) for text, replies in self._by_text.items()})
        covered = []
        for id, text in sentences:
            counts, key = (ids, id) if id is not None and ids[id] > 0 else (texts, text)
            covered.append(counts[key] > 0)
            counts[key] -= 1
        return covered

    def skip(self, prompt: Prompt) -> None:
        """Skip the reply of a prompt that was answered in an earlier, interrupted run."""
        self._find(prompt)

    def recorded(self) -> RecordedReplies:
        """The engine itself."""
        return self

    def unused(self) -> int:
        """How many recorded replies have not been used."""
        return sum(map(len, self._by_id.values())) + sum(map(len, self._by_text.values()))

    def _find(self, prompt: Prompt) -> str:
        if prompt.id is not None and self._by_id.get(prompt.id):
            reply, text = self._by_id[prompt.id].popleft()
            if isinstance(text, str) and text != prompt.text:
                raise MismatchError(
                    "the recorded reply is for another text",
                    path=self._path,
                    id=prompt.id,
                    hint="both must be of the same corpus version (KLUE v1 and v1.1 differ)",
                )
            return reply
        if self._by_text.get(prompt.text):
            return self._by_text[prompt.text].popleft()
        raise MismatchError(
            f"no recorded reply for {prompt.text[:40]!r}",
            path=self._path,
            id=prompt.id,
            hint="the ids and the number of rows must be those of the input",
        )

    def describe(self) -> dict[str, Any]:
        """Engine, file name and a hash of the replies."""
        return {"engine": "recorded", "model": self._path.name, "replies": self._digest}

    def repeating(self) -> Engine:
        """An engine for a server: it finds the first reply to a text, as often as it is asked.

        A text without a recorded reply has an error in its place.

        Raises:
            CorpusError: A row has no text.
        """
        if any(text is None for replies in self._by_id.values() for _, text in replies):
            raise CorpusError(
                "a row has no 'text', by which a server finds its reply",
                path=self._path,
                hint='expected {"text", "reply"}',
            )
        self._forget_ids()
        first = {text: replies[0] for text, replies in self._by_text.items() if replies}
        return _RepeatedReplies(first, self.describe())


class _RepeatedReplies(Engine):
    """Recorded replies by their texts, which are not used up."""

    capabilities = Capabilities(whole_texts=True, isolates=True)

    def __init__(self, replies: Mapping[str, str], description: dict[str, Any]) -> None:
        self._replies = replies
        self._description = description

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """The recorded reply of each prompt, or an error."""
        return [
            Reply(self._replies[prompt.text])
            if prompt.text in self._replies
            else Reply("", error="there is no recorded reply to this text")
            for prompt in prompts
        ]

    def describe(self) -> dict[str, Any]:
        """Engine, file name and a hash of the replies."""
        return self._description


ENGINE = RecordedGenerator
