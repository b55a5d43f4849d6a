"""What goes wrong with an endpoint: which errors may pass, and one line about those that do not."""

from __future__ import annotations

import re
from typing import Any

from llmner.engines._dialect import is_about_length, is_about_request
from llmner.engines._error_bodies import StatedError, UnreadableError, error_body, message_of
from llmner.errors import GenerationError
from llmner.recipes.chat import Prompt

__all__ = [
    "NoTemplateError",
    "OutOfTokensError",
    "SentenceError",
    "failure_of",
    "first_error",
    "may_pass",
]

# Statuses of a single question: its form, its length or its content is refused.
_ONE_QUESTION = (400, 413, 422)
# What a message says if a grammar or a schema is refused.
_FORM = re.compile(r"(?i)grammar|structured.?outputs?|response.?format|json.?schema")
# What a message says if reasoning has used up the answer's tokens.
_OUT_OF_TOKENS = re.compile(r"(?i)(?:max_(?:completion_)?tokens|output limit).{0,40}\breached")


class SentenceError(GenerationError):
    """This question has no answer, for example because it is too long; others may have one."""


class OutOfTokensError(SentenceError):
    """The model spent all tokens before it came to its answer."""


class NoTemplateError(GenerationError):
    """The endpoint's model has no chat template."""


def may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed when it is sent again.

    >>> may_pass(TimeoutError())
    True
    """
    from openai import APIConnectionError, APIStatusError

    if isinstance(error, APIStatusError | StatedError):
        # Some servers blame themselves for what they do not take.
        return error.status_code in (408, 409, 429) or (
            error.status_code >= 500 and not is_about_request(error_body(error.body))
        )
    return isinstance(error, APIConnectionError | UnreadableError | TimeoutError)


def failure_of(
    error: Any,
    prompt: Prompt | None,
    *,
    endpoint: str,
    key: str,
    model: str | None,
    attempts: int,
    max_new_tokens: int,
) -> GenerationError:
    """A refusal of an endpoint, in one line that says what to do about it.

    Args:
        error: An ``openai.APIStatusError`` or a :class:`StatedError`.
        prompt: The question that was asked, if it was one.
        endpoint: The address, as errors may show it.
        key: The key, which errors must not show.
        model: The model that was asked.
        attempts: How often the request was sent at most.
        max_new_tokens: Tokens that the answer could have.
    """
    status, message = error.status_code, message_of(error, key)
    where = f" (id {prompt.id!r})" if prompt is not None and prompt.id else ""
    if may_pass(error):
        problem = f"{endpoint}: {status} after {attempts} attempts ({message})"
        return SentenceError(problem, retryable=True)
    if status in (401, 403):
        return GenerationError(f"{endpoint} refuses the key ({message}); set OPENAI_API_KEY")
    if status == 404:
        return GenerationError(
            f"{endpoint} has no model {model!r}, or the address is wrong ({message}); "
            "check --model and --base-url"
        )
    if status == 400 and "chat template" in message:
        return NoTemplateError(f"{endpoint}: {model} has no chat template ({message})")
    if _OUT_OF_TOKENS.search(message):
        return OutOfTokensError(f"{endpoint}: {message}")
    if is_about_length(message):
        # The server looks for "do not fit into the model" in this message.
        return SentenceError(
            f"{endpoint}: a question{where} and an answer of {max_new_tokens} tokens do not fit "
            f"into the model's context ({message}); shorten the text or lower --max-new-tokens"
        )
    if prompt is not None and prompt.grammar is not None and _FORM.search(message):
        return GenerationError(
            f"{endpoint} does not accept the grammar or JSON schema ({message}); see "
            "docs/generation.md"
        )
    told = "an error" if isinstance(error, StatedError) else f"status {status}"
    problem = f"{endpoint} answered with {told}{where}: {message}"
    return SentenceError(problem) if status in _ONE_QUESTION else GenerationError(problem)


def first_error(group: BaseExceptionGroup[Any]) -> GenerationError:
    """The first ``GenerationError`` in a group, however deep it is nested.

    >>> first_error(ExceptionGroup("", [GenerationError("no answer"), GenerationError("late")]))
    GenerationError('no answer')
    """
    for error in group.exceptions:
        if isinstance(error, GenerationError):
            return error
        if isinstance(error, BaseExceptionGroup):
            return first_error(error)
    raise group
