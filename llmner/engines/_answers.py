"""What an endpoint sends, read field by field: it is an answer, or it is unreadable.

How it is asked for is up to ``_sending``; the package ``replies`` reads what the answer means.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from llmner._numbers import is_number, is_whole
from llmner.engines._decoding import placed
from llmner.engines._error_bodies import UnreadableError, stated_error
from llmner.engines._messages import message_text
from llmner.engines._types import Reply, Token

__all__ = ["EndpointAnswer", "UnreadableError", "read_answer", "read_models"]

# No model counts further, and sums of these counts stay exact.
_MOST_TOKENS = 2**31 - 1
# No computed probability is lower, and sums of these logarithms stay finite. Servers write -9999
# for a probability of zero.
_LEAST_LOGPROB = -1e5
# What servers call the end of an answer at the token limit, and one that they hold back.
_CUT = ("length", "max_tokens", "max_output_tokens", "max_new_tokens", "model_length")
_FILTERED = ("content_filter", "safety", "recitation", "prohibited_content")
# Rounding may leave the logarithm of a probability a little above 0.
_ROUNDING = 1e-3


@dataclass(frozen=True, slots=True)
class EndpointAnswer:
    """One answer of an endpoint.

    Attributes:
        text: The text, unstripped.
        is_reasoning: Whether the text stood where the endpoint puts the model's reasoning.
        cut: Whether it was cut off at the token limit.
        refused: Whether the endpoint filtered it, or the model refused to answer.
        prompt_tokens: Tokens of the question, if the endpoint counts them.
        completion_tokens: Tokens of the answer, if the endpoint counts them.
        logprobs: Each token's bytes and the logarithm of its probability; ``None`` if the endpoint
            gives none, or invalid ones.
    """

    text: str
    is_reasoning: bool = False
    cut: bool = False
    refused: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    logprobs: tuple[tuple[bytes, float], ...] | None = None

    def reply(self) -> Reply:
        """The answer as a reply."""
        return Reply(
            self.text.strip(),
            "length" if self.cut else "stop",
            self.prompt_tokens,
            self.completion_tokens,
            tokens=self.tokens(),
            is_reasoning=self.is_reasoning,
        )

    def tokens(self) -> tuple[Token, ...] | None:
        """The tokens with their places in the stripped answer; ``None`` if they are not known.

        If a character is made of several tokens, its last token has all its bytes and the others
        have none. End tokens and parts of the stop string come after the answer. Tokens that do
        not add up to the answer are not used. Linear in the number of tokens.

        >>> EndpointAnswer(" Anna", logprobs=((b" An", -0.5), (b"na", -1.0))).tokens()
        (Token(start=0, end=2, logprob=-0.5), Token(start=2, end=4, logprob=-1.0))
        """
        text, logprobs = self.text, self.logprobs
        if not logprobs or not b"".join(piece for piece, _ in logprobs).startswith(
            text.encode("utf-8", "replace")
        ):
            return None
        ends: list[int] = []
        values: list[float] = []
        decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        length = 0
        for piece, logprob in logprobs:
            ends_answer = bool(ends) and ends[-1] >= len(text) and bool(piece)
            length += len(decoder.decode(piece))
            ends.append(min(length, len(text)))
            values.append(logprob)
            if ends_answer:
                break
        return placed(ends, values, len(text) - len(text.lstrip()), len(text.strip()))


def read_answer(body: bytes) -> EndpointAnswer:
    """The first choice of a chat completion or of a completion.

    Only the fields that make an answer have to be valid; invalid counts and probabilities are
    ignored.

    >>> read_answer(b'{"choices": [{"text": "PS: Anna", "finish_reason": "length"}]}').cut
    True

    Args:
        body: The response's body.

    Raises:
        StatedError: It is an error instead of an answer.
        UnreadableError: It is not an answer.
    """
    response = _json(body)
    error = stated_error(response)
    if error is not None:
        raise error
    choices = response.get("choices") if isinstance(response, dict) else None
    if not isinstance(choices, list) or not choices:
        raise UnreadableError(f"an answer without choices: {_start(body)}")
    choice = choices[0]
    if not isinstance(choice, dict) or "finish_reason" not in choice:
        raise UnreadableError(f"an answer without a finish reason: {_start(body)}")
    finish_reason = str(choice["finish_reason"]).lower()
    if finish_reason == "error":
        raise UnreadableError(f"an answer that ended in an error: {_start(body)}")
    message = choice.get("message")
    fields = message if isinstance(message, dict) else {"content": choice.get("text", 0)}
    text = message_text(fields)
    if text is None:
        raise UnreadableError(f"an answer without a message: {_start(body)}")
    usage = response["usage"] if isinstance(response.get("usage"), dict) else {}
    return EndpointAnswer(
        text.text,
        text.is_reasoning,
        cut=finish_reason in _CUT,
        refused=finish_reason.startswith(_FILTERED) or text.is_refusal,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        logprobs=_logprobs(choice.get("logprobs")),
    )


def read_models(body: bytes) -> list[str]:
    """The names of an endpoint's models.

    >>> read_models(b'{"object": "list", "data": [{"id": "gpt-4.1-mini"}]}')
    ['gpt-4.1-mini']

    Raises:
        StatedError: It is an error instead of a list.
        UnreadableError: It is not a list of models.
    """
    response = _json(body)
    error = stated_error(response)
    if error is not None:
        raise error
    rows = response.get("data") if isinstance(response, dict) else None
    if not isinstance(rows, list):
        raise UnreadableError(f"not a list of models: {_start(body)}")
    names = [row.get("id") for row in rows if isinstance(row, dict)]
    return [name for name in names if isinstance(name, str) and name]


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"not JSON ({type(error).__name__}): {_start(body)}") from None


def _start(body: bytes) -> str:
    return repr(body[:80].decode("utf-8", "replace"))


def _count(value: Any) -> int | None:
    return value if is_whole(value) and 0 <= value <= _MOST_TOKENS else None


def _logprobs(field: Any) -> tuple[tuple[bytes, float], ...] | None:
    """Tokens and logarithms of their probabilities, in the form of chats or of completions.

    ``None`` if any of them is invalid.
    """
    if not isinstance(field, dict):
        return None
    rows, names, values = field.get("content"), field.get("tokens"), field.get("token_logprobs")
    pairs: Iterable[tuple[Any, Any]]
    if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        pairs = ((_bytes(row.get("token"), row.get("bytes")), row.get("logprob")) for row in rows)
    elif isinstance(names, list) and isinstance(values, list) and len(names) == len(values):
        pairs = ((_bytes(name), value) for name, value in zip(names, values, strict=True))
    else:
        return None
    logprobs = []
    for piece, value in pairs:
        if piece is None or not _is_logprob(value):
            return None
        logprobs.append((piece, float(value)))
    return tuple(logprobs)


def _bytes(token: Any, values: Any = None) -> bytes | None:
    """A token's bytes: the given ones, or those of its text; ``None`` if they are invalid.

    vLLM gives the bytes of a character that is made of several tokens with the last of them.
    """
    if values is None:
        return token.encode("utf-8", "replace") if isinstance(token, str) else None
    # Every value is checked: bytes(5) would be five zeros.
    if not isinstance(values, list) or not all(
        type(value) is int and 0 <= value <= 255 for value in values
    ):
        return None
    return bytes(values)


def _is_logprob(value: Any) -> bool:
    return is_number(value) and _LEAST_LOGPROB <= value <= _ROUNDING
