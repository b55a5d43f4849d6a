"""What an endpoint sends, read field by field at the edge: whatever it is, it is an answer or it is
none.

How it is asked for is ``_sending``'s; what the answer means is ``replies``'.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from llmner._numbers import is_number, is_whole
from llmner.engines._decoding import placed
from llmner.engines._types import Token

__all__ = ["EndpointAnswer", "UnreadableError", "read_answer", "read_models"]

# No model counts further; what a client adds up must stay a number.
_MOST_TOKENS = 2**31 - 1
# No probability is lower that a program can hold, and sums of these stay numbers; servers write
# -9999 for none.
_LEAST = -1e5
# Rounding may leave a logarithm of a probability a little above 0.
_ROUNDING = 1e-3


class UnreadableError(Exception):
    """An answer that is none: no JSON, or without the fields an answer has."""


@dataclass(frozen=True, slots=True)
class EndpointAnswer:
    """One answer of an endpoint.

    Attributes:
        text: What it says, unstripped.
        cut: Whether it was cut off at the limit.
        refused: Whether the endpoint filtered it, or the model refused to answer.
        prompt_tokens: Tokens of the question, where the endpoint counts them.
        completion_tokens: Tokens of the answer, where it does.
        logprobs: Each token's bytes and the logarithm of its probability; ``None`` where the
            endpoint tells none, or something that is none.
    """

    text: str
    cut: bool = False
    refused: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    logprobs: tuple[tuple[bytes, float], ...] | None = None

    def tokens(self) -> tuple[Token, ...] | None:
        """The tokens with their places in the stripped answer; ``None`` where none are known.

        Tokens come as text, each of a character's bytes but the last as nothing; end tokens and
        what belongs to the stop string follow the answer. Where they do not make up the answer,
        none are better than wrong ones. Linear in the number of tokens.
        """
        raw, held = self.text, self.logprobs
        if not held or not b"".join(each for each, _ in held).startswith(
            raw.encode("utf-8", "replace")
        ):
            return None
        ends: list[int] = []
        values: list[float] = []
        reader = codecs.getincrementaldecoder("utf-8")("ignore")
        said = 0
        for token, logprob in held:
            over = bool(ends) and ends[-1] >= len(raw) and bool(token)
            said += len(reader.decode(token))
            ends.append(min(said, len(raw)))
            values.append(logprob)
            if over:
                # What ended the answer.
                break
        return placed(ends, values, len(raw) - len(raw.lstrip()), len(raw.strip()))


def read_answer(body: bytes) -> EndpointAnswer:
    """The first choice of a chat completion, or of a completion.

    Only what it takes to be an answer must be right; counts and probabilities that are none count
    as not told.

    Args:
        body: The response's body.

    Raises:
        UnreadableError: It is no answer.
    """
    whole = _json(body)
    choices = whole.get("choices") if isinstance(whole, dict) else None
    if not isinstance(choices, list) or not choices:
        raise UnreadableError(f"an answer without choices: {_start(body)}")
    choice = choices[0]
    if not isinstance(choice, dict) or "finish_reason" not in choice:
        raise UnreadableError(f"an answer without a finish reason: {_start(body)}")
    message = choice.get("message")
    held = message if isinstance(message, dict) else {}
    # A model that thought until its limit, or refuses, has a message without content.
    said = held.get("content", "") if held or message == {} else choice.get("text", 0)
    if not isinstance(said, str | None):
        raise UnreadableError(f"an answer without a message: {_start(body)}")
    usage = whole["usage"] if isinstance(whole.get("usage"), dict) else {}
    finish = choice["finish_reason"]
    return EndpointAnswer(
        said or "",
        cut=finish == "length",
        refused=finish == "content_filter" or bool(held.get("refusal")),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        logprobs=_logprobs(choice.get("logprobs")),
    )


def read_models(body: bytes) -> list[str]:
    """The names of an endpoint's models.

    Raises:
        UnreadableError: It is no list of models.
    """
    whole = _json(body)
    rows = whole.get("data") if isinstance(whole, dict) else None
    if not isinstance(rows, list):
        raise UnreadableError(f"no list of models: {_start(body)}")
    names = [row.get("id") for row in rows if isinstance(row, dict)]
    return [name for name in names if isinstance(name, str) and name]


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"no JSON ({type(error).__name__}): {_start(body)}") from None


def _start(body: bytes) -> str:
    return repr(body[:80].decode("utf-8", "replace"))


def _count(value: Any) -> int | None:
    return value if is_whole(value) and 0 <= value <= _MOST_TOKENS else None


def _logprobs(told: Any) -> tuple[tuple[bytes, float], ...] | None:
    """Tokens and logarithms of their probabilities, as chats or completions tell them; all right,
    or none.
    """
    if not isinstance(told, dict):
        return None
    rows, names, values = told.get("content"), told.get("tokens"), told.get("token_logprobs")
    pairs: Iterable[tuple[Any, Any]]
    if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        pairs = ((_bytes(row.get("token"), row.get("bytes")), row.get("logprob")) for row in rows)
    elif isinstance(names, list) and isinstance(values, list) and len(names) == len(values):
        pairs = ((_bytes(name), value) for name, value in zip(names, values, strict=True))
    else:
        return None
    held = []
    for piece, value in pairs:
        if piece is None or not _is_logprob(value):
            return None
        held.append((piece, float(value)))
    return tuple(held)


def _bytes(token: Any, held: Any = None) -> bytes | None:
    """A token's bytes: its own, or as vLLM has it all of a character's at its last token."""
    if held is None:
        return token.encode("utf-8", "replace") if isinstance(token, str) else None
    # Each looked at: bytes() of a number would be as many zeros.
    if not isinstance(held, list) or not all(
        type(each) is int and 0 <= each <= 255 for each in held
    ):
        return None
    return bytes(held)


def _is_logprob(value: Any) -> bool:
    return is_number(value) and _LEAST <= value <= _ROUNDING
