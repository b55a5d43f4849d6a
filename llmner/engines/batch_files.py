"""Files of requests that an endpoint answers later, at half the price: OpenAI's batches, and those
of ``vllm run-batch``. Both have the same rows.

Engines stand in for the endpoint. One writes what would be asked, another answers from the files
that came back. They are asked the same questions, windows and samples included, so that replies go
the way that they always go.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
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

__all__ = ["BatchNames", "BatchReplies", "BatchRequests"]

_URL = "/v1/chat/completions"
_CAPABILITIES = Capabilities(
    grammar=True, json_schema=True, logprobs=True, samples=True, isolates=True, batch_size=256
)


class _Named(Engine):
    """An engine that names each question by what is asked, and by which time that is."""

    capabilities = _CAPABILITIES

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()

    def _named(self, prompts: Sequence[Prompt]) -> Iterator[tuple[str, Prompt]]:
        for prompt in prompts:
            asked = dump_json([prompt.messages, prompt.sample])
            digest = hashlib.sha256(asked).hexdigest()[:16]
            self._times[digest] += 1
            yield f"{digest}-{self._times[digest]}", prompt


class BatchNames(_Named):
    """Collects the names of the questions, and gives no answers.

    >>> engine = BatchNames()
    >>> prompt = Prompt((), "", "", "Anna sings")
    >>> replies = engine.generate([prompt, prompt])
    >>> sorted(name[-2:] for name in engine.names)
    ['-1', '-2']
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Collect the names; the replies are empty."""
        self.names.update(name for name, _ in self._named(prompts))
        return [Reply("") for _ in prompts]

    def describe(self) -> dict[str, Any]:
        """The kind of engine."""
        return {"engine": "batch"}


class BatchRequests(_Named):
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


class BatchReplies(_Named):
    """Answers from the files that came back. They may have their rows in any order.

    Args:
        paths: The files of answers. If several answer one question, the last answer counts that is
            no error.
        model: Name of the model, for the record.

    Raises:
        CorpusError: A file cannot be read, or has rows that are no answers of a batch.
    """

    def __init__(self, paths: Sequence[Path], model: str | None = None) -> None:
        super().__init__()
        self.replies: dict[str, Reply] = {}
        self._model = model
        for path in paths:
            count = 0
            for number, row in read_jsonl(path):
                name = row.get("custom_id")
                if not isinstance(name, str) or not ("response" in row or "error" in row):
                    raise CorpusError(
                        "no answer of a batch",
                        path=path,
                        line=number,
                        hint='expected {"custom_id", "response": {"body": {"choices": ...}}}',
                    )
                count += 1
                reply = _reply_of(row)
                if reply.error is None or name not in self.replies:
                    self.replies[name] = reply
            if not count:
                raise CorpusError("holds no answers", path=path, hint="the file is empty")

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """The answer to each prompt; one that no file has is a reply with ``error``."""
        missing = Reply("", "error", error="no answer came back")
        return [self.replies.get(name, missing) for name, _ in self._named(prompts)]

    def describe(self) -> dict[str, Any]:
        """The hash of the answers, and the model."""
        told = sorted((name, reply.text, reply.error) for name, reply in self.replies.items())
        digest = hashlib.sha256(dump_json(told)).hexdigest()[:12]
        return {"engine": "batch", "model": self._model, "replies": digest}


def _reply_of(row: Mapping[str, Any]) -> Reply:
    """The reply in a row of answers; its ``error`` says why there is none."""
    response = row.get("response")
    body = response.get("body") if isinstance(response, dict) else None
    error = row.get("error")
    status = response.get("status_code") if isinstance(response, dict) else None
    if body is None or error or str(status if status is not None else 200) != "200":
        said = error.get("message") if isinstance(error, dict) else error
        if not said and isinstance(body, dict):
            stated = body.get("error")
            said = stated.get("message") if isinstance(stated, dict) else stated or body
        told = said or "there is no answer in it"
        why = f"status {status}: {told}" if status is not None else str(told)
        return Reply("", "error", error=one_line(why, 200))
    answer = attempt(lambda: read_answer(json.dumps(body).encode()))
    if isinstance(answer, Mishap):
        return Reply("", "error", error=one_line(answer.message, 200))
    if answer.refused:
        return Reply("", "error", error="the answer was filtered, or the model refused to give one")
    return answer.reply()
