"""Why a request gets no answer: a status, a word for programs, a sentence for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from starlette.exceptions import HTTPException
from starlette.responses import Response

from llmner._files import dump_json
from llmner.errors import GenerationError, InputError, LlmnerError, MissingExtraError

__all__ = ["RefusalError", "refusal_of", "refused"]


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

    def body(self) -> dict[str, object]:
        """As JSON has it."""
        told: dict[str, object] = {"type": self.type, "message": self.message}
        if self.fields:
            told["fields"] = [{"field": field, "message": message} for field, message in self.fields]
        return {"error": told}


def refusal_of(error: LlmnerError) -> RefusalError:
    """What an error of the library comes to over HTTP."""
    if isinstance(error, GenerationError):
        if error.retryable:
            return RefusalError(503, "engine_unavailable", str(error), retry_after=1)
        return RefusalError(502, "engine_failed", str(error))
    if isinstance(error, InputError):
        return RefusalError(422, "invalid", str(error))
    if isinstance(error, MissingExtraError):
        return RefusalError(501, "not_installed", str(error))
    return RefusalError(500, "internal", str(error))


def refused(error: RefusalError, headers: Mapping[str, str] | None = None) -> Response:
    """The response that says so."""
    told = dict(headers or {})
    if error.retry_after is not None:
        told["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.status_code == 401:
        told["WWW-Authenticate"] = "Bearer"
    if error.status_code == 413:
        # What is left of the body will not be read.
        told["Connection"] = "close"
    return Response(dump_json(error.body()), error.status_code, told, media_type="application/json")
