"""Why a request gets no answer: a status, a word for programs, a sentence for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from starlette.exceptions import HTTPException
from starlette.responses import Response

from llmner.errors import (
    GenerationError,
    InputError,
    LlmnerError,
    MissingExtraError,
    WorkLimitError,
)
from llmner.files import dump_json

__all__ = ["INTERNAL", "RefusalError", "refusal_of", "refused", "unanswered"]

_UNAVAILABLE = "the engine does not answer; try again in a moment"
_REFUSES = "the engine refuses to answer; the server's log says why"
INTERNAL = "something went wrong here; the server's log says where"


class RefusalError(HTTPException):
    """No answer to this request. Becomes a response; never leaves the server.

    One of Starlette's, since those are the ones that go through its reading of bodies as they are.

    Args:
        status: Of HTTP.
        type: A word for programs.
        message: A sentence for people, without anything of another client's texts.
        retry_after: Seconds after which to try again, where that may help.
        fields: The wrong fields, with what is wrong with each.
    """

    def __init__(
        self,
        status: int,
        type: str,
        message: str,
        *,
        retry_after: float | None = None,
        fields: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(status, message)
        self.type = type
        self.message = message
        self.retry_after = retry_after
        self.fields = tuple(fields)

    def __reduce__(self) -> tuple[object, ...]:
        """How it comes out of another process."""
        told = self.status_code, self.type, self.message, self.retry_after, self.fields
        return _remade, told

    def body(self) -> dict[str, object]:
        """As JSON has it."""
        told: dict[str, object] = {"type": self.type, "message": self.message}
        if self.fields:
            told["fields"] = [
                {"field": field, "message": message} for field, message in self.fields
            ]
        return {"error": told}


def _remade(
    status: int,
    type: str,
    message: str,
    retry_after: float | None,
    fields: Sequence[tuple[str, str]],
) -> RefusalError:
    return RefusalError(status, type, message, retry_after=retry_after, fields=fields)


def refusal_of(error: LlmnerError) -> RefusalError:
    """What an error of the library comes to over HTTP.

    What an engine says, and what an endpoint told it, stays here: it may hold keys, addresses,
    others' texts.
    """
    if isinstance(error, GenerationError):
        if error.retryable:
            return RefusalError(503, "engine_unavailable", _UNAVAILABLE, retry_after=1)
        return RefusalError(502, "engine_failed", _REFUSES)
    if isinstance(error, WorkLimitError):
        message = "a reply about this text takes more work than the server gives one request"
        return RefusalError(422, "too_much", message)
    if isinstance(error, InputError):
        return RefusalError(422, "invalid", str(error))
    if isinstance(error, MissingExtraError):
        return RefusalError(501, "not_installed", str(error))
    return RefusalError(500, "internal", INTERNAL)


def unanswered(error: str, *, retryable: bool) -> str:
    """What a client is told of a text that the engine had no answer to: one of a few sentences.

    Args:
        error: What the engine said.
        retryable: Whether it may answer the next time.
    """
    if retryable:
        return "the engine did not answer this text; try again in a moment"
    if "do not fit into the model" in error:
        return "this text does not fit into the model's context; send it in parts"
    if "filtered" in error:
        return "the answer was filtered, or the model refused to give one"
    return "the engine refuses this text"


def refused(error: RefusalError, headers: Mapping[str, str] | None = None) -> Response:
    """The response that says so."""
    told = dict(headers or {})
    if error.retry_after is not None:
        told["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.status_code == 401:
        told["WWW-Authenticate"] = "Bearer"
    if error.status_code in (408, 413):
        # What is left of the body will not be read.
        told["Connection"] = "close"
    return Response(dump_json(error.body()), error.status_code, told, media_type="application/json")
