"""What an endpoint says about an error: the message, and the status, code and field it names.

Servers put these in many places, and some of them send an error with status 200. What is done about
an error is up to ``_failures`` and ``_dialect``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llmner._mishaps import one_line
from llmner._numbers import is_whole
from llmner._secrets import masked

__all__ = [
    "ErrorBody",
    "StatedError",
    "UnreadableError",
    "error_body",
    "message_of",
    "stated_error",
]

# Longer messages are cut before they are searched, in characters.
_LONGEST = 4000
# What a code or a type in words says about errors that may pass, as a status.
_WORDS = (
    (re.compile(r"(?i)rate.?limit|too.?many.?requests|resource.?exhausted|throttl"), 429),
    (re.compile(r"(?i)time.?out|deadline"), 504),
    (re.compile(r"(?i)overload|unavailable|server.?error|internal.?error|bad.?gateway"), 503),
    (re.compile(r"(?i)authentication|unauthori[sz]ed|invalid.?api.?key"), 401),
    (re.compile(r"(?i)model.?not.?found|not.?found"), 404),
    (re.compile(r"(?i)quota|payment|billing|credits"), 402),
)


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """The body of an error.

    Attributes:
        message: What the endpoint says, in its own words; empty if it says nothing.
        code: Its code and its type, in words or figures.
        field: The field of the request that it names as the cause; empty if it names none.
    """

    message: str
    code: str = ""
    field: str = ""

    def shown(self, key: str) -> str:
        """The message as errors show it: one line that can be printed, without any key."""
        line = one_line(masked(self.message, (key,)))
        return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)

    @property
    def status(self) -> int:
        """The HTTP status that its code stands for; 400 if it stands for none."""
        for number in re.findall(r"\b[45]\d\d\b", self.code):
            return int(number)
        return next((status for word, status in _WORDS if word.search(self.code)), 400)


class UnreadableError(Exception):
    """A response that is not an answer: it is not JSON, or lacks the fields of an answer."""


class StatedError(UnreadableError):
    """An error in place of an answer, in a response with status 200.

    Attributes:
        status_code: The status that its code stands for.
        body: What the endpoint sent, from JSON.
    """

    def __init__(self, body: Any) -> None:
        self.body = body
        said = error_body(body)
        self.status_code = said.status
        # An error may be no more than a code.
        super().__init__((said if said.message else ErrorBody(str(body)[:_LONGEST])).shown(""))


def stated_error(response: Any) -> StatedError | None:
    """The error that a response states in place of an answer, or in its first choice.

    >>> stated_error({"error": {"message": "slow down", "code": 429}}).status_code
    429
    """
    if not isinstance(response, dict):
        return None
    if response.get("error") or response.get("errors"):
        return StatedError(response)
    choices = response.get("choices")
    if isinstance(choices, list) and choices:
        error = choices[0].get("error") if isinstance(choices[0], dict) else None
        return StatedError(error) if error else None
    if "choices" not in response and "data" not in response and error_body(response).message:
        return StatedError(response)
    return None


def error_body(body: Any) -> ErrorBody:
    """What an error's body says, whichever server wrote it.

    >>> error_body({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]})
    ErrorBody(message='seed: Extra inputs are not permitted', code='', field='seed')

    Args:
        body: The body from JSON, or its text.
    """
    messages: list[str] = []
    codes: list[str] = []
    fields: list[str] = []
    for part in _parts(body, 5):
        if isinstance(part, str):
            messages.append(part)
            continue
        location, problem = part.get("loc"), part.get("msg")
        if isinstance(location, list) and isinstance(problem, str):
            # pydantic's: ["body", "messages", 0, "role"].
            field = ".".join(str(step) for step in location[:8] if step != "body")
            fields.append(field)
            messages.append(f"{field}: {problem}")
        for name in ("code", "status", "status_code", "type", "error_type"):
            value = part.get(name)
            if isinstance(value, str) or is_whole(value):
                codes.append(str(value)[:100])
        if isinstance(part.get("param"), str):
            fields.append(part["param"][:100])
    message = "; ".join(dict.fromkeys(part.strip() for part in messages if part.strip()))
    return ErrorBody(message[:_LONGEST], " ".join(codes)[:_LONGEST], " ".join(fields)[:_LONGEST])


def message_of(error: Any, key: str) -> str:
    """What an endpoint says about an error: one line, without any key.

    Args:
        error: An ``openai.APIStatusError`` or a :class:`StatedError`.
        key: The key that the message must not show.
    """
    said = error_body(error.body)
    return said.shown(key) if said.message else ErrorBody(str(error)).shown(key)


def _parts(body: Any, depth: int) -> Iterator[Any]:
    """The messages of an error's body and the objects around them, from the outside in."""
    if isinstance(body, str):
        yield body
    elif isinstance(body, list) and depth:
        for part in body[:10]:
            yield from _parts(part, depth - 1)
    elif isinstance(body, dict) and depth:
        yield body
        for name in ("error", "errors", "message", "detail", "error_msg", "error_message"):
            yield from _parts(body.get(name), depth - 1)
        metadata = body.get("metadata")
        if isinstance(metadata, dict):
            # OpenRouter's: what the provider behind it said.
            yield from _parts(metadata.get("raw"), 1)
