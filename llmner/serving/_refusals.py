"""Why a request gets no answer: an HTTP status, a type for programs, a sentence for people."""

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

__all__ = ["BLANK", "INTERNAL", "RefusalError", "error_response", "refusal_of", "unanswered"]

_UNAVAILABLE = "the engine does not answer; try again in a moment"
_REFUSES = "the engine refuses to answer; the server's log says why"
BLANK = "the model's reply is empty, so this text has no answer"
INTERNAL = "internal error; the server's log says where"


class RefusalError(HTTPException):
    """A request is not answered. It becomes a response and never leaves the server.

    It is one of Starlette's exceptions, because Starlette passes those through unchanged while it
    reads a body.

    Args:
        status: The HTTP status.
        type: A word for programs.
        message: A sentence for people. It must quote no other client's text.
        retry_after: Seconds after which to try again, if that may help.
        fields: The wrong fields, each with what is wrong with it.
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
        """For pickle: worker processes send refusals back."""
        arguments = self.status_code, self.type, self.message, self.retry_after, self.fields
        return _unpickled, arguments

    def body(self) -> dict[str, object]:
        """The JSON body of the response."""
        error: dict[str, object] = {"type": self.type, "message": self.message}
        if self.fields:
            error["fields"] = [
                {"field": field, "message": message} for field, message in self.fields
            ]
        return {"error": error}


def _unpickled(
    status: int,
    type: str,
    message: str,
    retry_after: float | None,
    fields: Sequence[tuple[str, str]],
) -> RefusalError:
    return RefusalError(status, type, message, retry_after=retry_after, fields=fields)


def refusal_of(error: LlmnerError) -> RefusalError:
    """The refusal that stands for one of the library's errors.

    The messages of engines and endpoints are not passed on. They may quote keys, addresses or other
    clients' texts.
    """
    if isinstance(error, GenerationError):
        if error.retryable:
            return RefusalError(503, "engine_unavailable", _UNAVAILABLE, retry_after=1)
        return RefusalError(502, "engine_failed", _REFUSES)
    if isinstance(error, WorkLimitError):
        message = "projecting a reply about this text takes more work than one request may use"
        return RefusalError(422, "too_much", message)
    if isinstance(error, InputError):
        return RefusalError(422, "invalid", str(error))
    if isinstance(error, MissingExtraError):
        return RefusalError(501, "not_installed", str(error))
    return RefusalError(500, "internal", INTERNAL)


def unanswered(error: str, *, retryable: bool) -> str:
    """What a client is told about a text without an answer: one of a few fixed sentences.

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


def error_response(error: RefusalError, headers: Mapping[str, str] | None = None) -> Response:
    """The response for a refusal, with further headers."""
    headers = dict(headers or {})
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.status_code == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status_code in (408, 413):
        # The rest of the body will not be read.
        headers["Connection"] = "close"
    content = dump_json(error.body())
    return Response(content, error.status_code, headers, media_type="application/json")
