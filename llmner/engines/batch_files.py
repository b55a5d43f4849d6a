"""Files of requests that an endpoint answers later, at half the price: OpenAI's batches, and those
of ``vllm run-batch``. Both have the same rows.

Two engines stand in for the endpoint. One writes what would be asked, the other answers from the
file that came back. Both are asked the same questions in the same order, windows and samples
included, so that replies go the way that they always go.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from llmner._mishaps import Mishap, attempt, one_line
from llmner.engines._answers import read_answer
from llmner.engines._requests import checked_fields, described_fields, request_for
from llmner.engines._types import Capabilities, Engine, Reply, decoding
from llmner.errors import CorpusError, InputError
from llmner.files import dump_json, read_jsonl
from llmner.recipes.chat import Prompt

__all__ = ["BatchReplies", "BatchRequests"]

_URL = "/v1/chat/completions"
_CAPABILITIES = Capabilities(
    grammar=True, json_schema=True, logprobs=True, samples=True, isolates=True, batch_size=64
)


class _Numbered(Engine):
    """An engine that names each question by its number and by what is asked."""

    capabilities = _CAPABILITIES

    def __init__(self) -> None:
        self._count = 0

    def _named(self, prompts: Sequence[Prompt]) -> Iterator[tuple[str, Prompt]]:
        for prompt in prompts:
            self._count += 1
            asked = dump_json([prompt.messages, prompt.sample])
            digest = hashlib.sha256(asked).hexdigest()[:12]
            yield f"{self._count}-{digest}", prompt


class BatchRequests(_Numbered):
    """Writes a request for each prompt, and gives no answers.

    Args:
        stream: Where the rows go.
        model: Name of the model.
        max_new_tokens: Longest answer, in tokens.
        temperature: 0 for the likeliest answer.
        seed: Seed of the draws.
        request_fields: Further fields of every request; ``None`` as a value removes one.

    Raises:
        InputError: There is no model, or a field cannot be sent.

    >>> import io
    >>> stream = io.BytesIO()
    >>> engine = BatchRequests(stream, "gpt-5-mini")
    >>> engine.generate([Prompt((), "", "", "Anna sings")])[0].text
    ''
    >>> json.loads(stream.getvalue())["url"]
    '/v1/chat/completions'
    """

    def __init__(
        self,
        stream: BinaryIO,
        model: str | None,
        *,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
        request_fields: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not model:
            raise InputError("a batch names its model", hint="give --model")
        self.model = model
        self.count = 0
        self._stream = stream
        self._max_new_tokens = max_new_tokens
        self._temperature = temperature
        self._seed = seed
        self._fields = checked_fields(request_fields)

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Write the requests; the replies are empty."""
        for name, prompt in self._named(prompts):
            request = request_for(
                prompt,
                self._max_new_tokens,
                completion=False,
                temperature=self._temperature,
                seed=self._seed,
                fields=self._fields,
            )
            row = {
                "custom_id": name,
                "method": "POST",
                "url": _URL,
                "body": {"model": self.model, **request},
            }
            self._stream.write(dump_json(row) + b"\n")
            self.count += 1
        return [Reply("") for _ in prompts]

    def describe(self) -> dict[str, Any]:
        """Model and decoding settings."""
        return {
            "engine": "batch",
            "model": self.model,
            **decoding(self._temperature, self._seed),
            "max_new_tokens": self._max_new_tokens,
            **described_fields(self._fields),
        }


class BatchReplies(_Numbered):
    """Answers from the file that came back. It may have its rows in any order.

    Args:
        path: The file of answers.
        model: Name of the model, for the record.

    Raises:
        CorpusError: The file cannot be read, or has rows that are no answers of a batch.
    """

    def __init__(self, path: Path, model: str | None = None) -> None:
        super().__init__()
        self._replies: dict[str, Reply] = {}
        self._digest = hashlib.sha256()
        self._model = model
        self._path = path
        self.unused: set[str] = set()
        for number, row in read_jsonl(path):
            name = row.get("custom_id")
            if not isinstance(name, str) or not ("response" in row or "error" in row):
                raise CorpusError(
                    "no answer of a batch",
                    path=path,
                    line=number,
                    hint='expected {"custom_id", "response": {"body": {"choices": ...}}}',
                )
            reply = _reply_of(row)
            self._replies[name] = reply
            self._digest.update(reply.text.encode("utf-8", "surrogatepass"))
        if not self._replies:
            raise CorpusError("holds no answers", path=path, hint="the file is empty")
        self.unused = set(self._replies)

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """The answer to each prompt; one that is not in the file has an ``error``.

        Raises:
            InputError: The file answers other questions.
        """
        replies = []
        for name, _ in self._named(prompts):
            self.unused.discard(name)
            replies.append(self._replies.get(name, Reply("", "error", error="no answer came back")))
        if len(self.unused) == len(self._replies) and self._count >= len(self._replies):
            raise InputError(
                "answers other questions",
                path=self._path,
                hint="give the texts and options that the requests were written with",
            )
        return replies

    def describe(self) -> dict[str, Any]:
        """The hash of the answers, and the model."""
        return {
            "engine": "batch",
            "model": self._model,
            "replies": self._digest.hexdigest()[:12],
        }


def _reply_of(row: Mapping[str, Any]) -> Reply:
    """The reply in a row of answers; its ``error`` says why there is none."""
    response = row.get("response")
    body = response.get("body") if isinstance(response, dict) else None
    error = row.get("error")
    status = response.get("status_code") if isinstance(response, dict) else None
    if body is None or error or (status is not None and status != 200):
        said = error.get("message") if isinstance(error, dict) else error
        if not said and isinstance(body, dict):
            stated = body.get("error")
            said = stated.get("message") if isinstance(stated, dict) else stated or body
        return Reply("", "error", error=one_line(f"status {status}: {said}", 200))
    answer = attempt(lambda: read_answer(json.dumps(body).encode()))
    if isinstance(answer, Mishap):
        return Reply("", "error", error=one_line(answer.message, 200))
    if answer.refused:
        return Reply("", "error", error="the answer was filtered, or the model refused to give one")
    return Reply(
        answer.text.strip(),
        "length" if answer.cut else "stop",
        answer.prompt_tokens,
        answer.completion_tokens,
        tokens=answer.tokens(),
        is_reasoning=answer.is_reasoning,
    )
